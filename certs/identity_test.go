package certs_test

import (
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs"
)

// Whoever can write a node's Secret chooses the serial number there. The API server would
// refuse the whole status for one that is too long.
func TestSerialFitsTheStatus(t *testing.T) {
	for bits, want := range map[uint]int{8: 3, 160: 41, 255: 64, 256: 64, 1600: 64} {
		serial := certs.Serial(&x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(1), bits)})
		if len(serial) != want {
			t.Errorf("2^%d has %d digits, want %d", bits, len(serial), want)
		}
	}
}
