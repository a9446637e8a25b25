//go:build erlang

// Package probe tests the probe against real Erlang nodes.
package probe

import (
	"os"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

func TestMain(m *testing.M) { os.Exit(beam.Main(m)) }
