package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// observation is what was seen of one node.
type observation struct {
	target Target
	trust  certs.Trust
	now    time.Time

	timings      []Timing
	stage        erldist.Stage // begun last
	began        time.Time     // when
	registration erldist.Registration
	peer         erldist.Peer
	chain        []*x509.Certificate // that the node served
	secured      bool                // the TLS handshake passed on our side

	// What a second look saw.
	plaintext  bool     // the port speaks distribution, in plaintext
	deaf       bool     // the port breaks off connections on which nothing was said
	registered []string // the names that epmd knows; nil when it was not asked
}

// trace writes down how the stages go.
func (o *observation) trace() *erldist.Trace {
	return &erldist.Trace{
		StageStart: func(stage erldist.Stage, _ string) { o.stage, o.began = stage, time.Now() },
		StageDone: func(report erldist.StageReport) {
			o.timings = append(o.timings, Timing{
				Stage: v1alpha1.Stage(report.Stage.String()), Address: report.Address,
				Duration: report.Duration, Failed: report.Err != nil,
			})
			o.secured = o.secured || report.Stage == erldist.StageTLS && report.Err == nil
		},
		Registered: func(registration erldist.Registration) { o.registration = registration },
		Named:      func(peer erldist.Peer) { o.peer = peer },
	}
}

// blame makes the stage that failed the last one. What it failed by may have come to
// light only later: a node judges our certificate when, for us, TLS is done with.
func (o *observation) blame(stage v1alpha1.Stage) {
	last := len(o.timings) - 1
	for last >= 0 && o.timings[last].Stage != stage {
		last--
	}
	if last < 0 { // There was nothing to try.
		o.timings, last = append(o.timings, Timing{Stage: stage, Address: o.target.Node}), len(o.timings)
	}
	for _, later := range o.timings[last+1:] {
		o.timings[last].Duration += later.Duration
	}
	o.timings[last].Failed = true
	o.timings = o.timings[:last+1]
}

// portOutOfRangeError: epmd gave a port that the node's peers do not reach.
type portOutOfRangeError struct{ port uint16 }

func (e *portOutOfRangeError) Error() string {
	return fmt.Sprintf("port %d is out of range", e.port)
}

// within opens TCP connections, but none to a port out of range: it may be somebody
// else's.
func (o *observation) within(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		port := o.registration.Port
		if o.stage == erldist.StageConnectDistribution && port != 0 && !o.target.Ports.holds(port) {
			return nil, &portOutOfRangeError{port}
		}
		return dial(ctx, network, address)
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// certificateError: the node's certificate will not do.
type certificateError struct{ fault certs.Fault }

func (e *certificateError) Error() string { return "the certificate " + e.fault.Detail }

// judge sees the chain that crypto/tls has nothing against. OTP has more against
// some: a node's certificate has to do for a client too.
func (o *observation) judge(state tls.ConnectionState) error {
	o.chain = state.PeerCertificates
	if fault := o.fault(); fault != nil {
		return &certificateError{*fault}
	}
	return nil
}

// learn takes the chain that crypto/tls did not accept from its error.
func (o *observation) learn(err error) {
	if unverified := new(tls.CertificateVerificationError); errors.As(err, &unverified) {
		o.chain = unverified.UnverifiedCertificates
	}
}

// fault is what is wrong with the chain that the node served; nil when nothing is.
func (o *observation) fault() *certs.Fault {
	leaf := certs.Certificate{X509: o.chain[0], Above: o.chain[1:]}
	return leaf.Judge(o.host(), o.trust, o.now)
}

func (o *observation) host() string {
	_, host, _ := erldist.SplitNodeName(o.target.Node)
	return host
}
