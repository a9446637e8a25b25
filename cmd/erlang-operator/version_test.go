package main

import (
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What a release's build sets is what the command prints and the metric says.
func TestVersion(t *testing.T) {
	version, commit = "v0.1.0", "0123abc"
	t.Cleanup(func() { version, commit = "", "" })
	command := versionCommand()
	var out strings.Builder
	command.SetOut(&out)
	command.SetArgs([]string{})
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	want := "erlang-operator v0.1.0, commit 0123abc, " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if err := testutil.CollectAndCompare(thisBuild().metric(), strings.NewReader(`
# HELP erlang_operator_build_info The build that runs, in its labels; always 1.
# TYPE erlang_operator_build_info gauge
erlang_operator_build_info{commit="0123abc",goversion="`+runtime.Version()+`",version="v0.1.0"} 1
`)); err != nil {
		t.Error(err)
	}
}
