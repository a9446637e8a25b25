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

// observation is what was observed of one node.
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
	release      v1alpha1.Runtime    // for the kind of release that the node is

	// What the follow-up found.
	published      []string // the addresses of its host that Kubernetes publishes, if known
	triedPlaintext bool     // the port was spoken to in plaintext
	plaintext      bool     // the port speaks distribution, in plaintext
	closesIdle     bool     // the port closes connections on which nothing was sent
	answersAgain   bool     // the node, which closed a connection on our proof of the cookie, accepts another
	timedOutThere  bool     // the node closed a connection when its time was over
	registered     []string // the names that epmd knows; nil when it was not asked
	runsAs         string   // the full name of the only node that epmd knows
}

// trace records the stages.
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
		Named: func(peer erldist.Peer) {
			if peer.Name == o.target.Node { // Else what it says is of another node.
				o.peer = peer
			}
		},
	}
}

// markFailed makes the stage that failed the last one. Later ones may have been tried
// before the cause was seen: a node judges our certificate when TLS has ended for us.
func (o *observation) markFailed(stage v1alpha1.Stage) {
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

// setup is how long the last connection to the distribution port has taken.
func (o *observation) setup() (took time.Duration) {
	for _, timing := range o.timings {
		switch timing.Stage {
		case v1alpha1.StageConnectDistribution:
			took = 0
		case v1alpha1.StageTLS, v1alpha1.StageHandshake:
			took += timing.Duration
		}
	}
	return took
}

// portOutOfRangeError is about a port, given by epmd, that the node's peers do not reach.
type portOutOfRangeError struct{ port uint16 }

func (e *portOutOfRangeError) Error() string {
	return fmt.Sprintf("port %d is out of range", e.port)
}

// within opens TCP connections, but none to a port out of range: it may belong to another
// program.
func (o *observation) within(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		port := o.registration.Port
		if o.stage == erldist.StageConnectDistribution && port != 0 && !o.target.Ports.contains(port) {
			return nil, &portOutOfRangeError{port}
		}
		return dial(ctx, network, address)
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// certificateError is about a certificate of the node that cannot be used.
type certificateError struct{ fault certs.Fault }

func (e *certificateError) Error() string { return "the certificate " + e.fault.Detail }

// judge sees the chain that crypto/tls accepts. OTP demands more: a node's certificate has
// to serve for a client too.
func (o *observation) judge(state tls.ConnectionState) error {
	o.chain = state.PeerCertificates
	if fault := o.fault(); fault != nil {
		return &certificateError{*fault}
	}
	return nil
}

// keepChain takes the chain that crypto/tls did not accept from its error.
func (o *observation) keepChain(err error) {
	if unverified := new(tls.CertificateVerificationError); errors.As(err, &unverified) {
		o.chain = unverified.UnverifiedCertificates
	}
}

// fault is what is wrong with the chain that the node served; nil when nothing is.
func (o *observation) fault() *certs.Fault {
	return o.leaf().Validate(o.host(), o.trust, o.now)
}

func (o *observation) leaf() certs.Certificate {
	return certs.Certificate{X509: o.chain[0], Issuers: o.chain[1:]}
}

// issuer returns the CA that signed the certificate that the node serves, or nil if no
// chain leads to a trusted CA: then any peer may have made it up. The certificate may have
// expired.
func (o *observation) issuer() *x509.Certificate {
	leaf, at := o.chain[0], o.now
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: o.trust.Pool(), Intermediates: certs.Trust{}.With(o.chain[1:]...).Pool(),
		CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil || len(chains[0]) < 2 {
		return nil
	}
	return chains[0][1]
}

func (o *observation) host() string {
	_, host, _ := erldist.SplitNodeName(o.target.Node)
	return host
}
