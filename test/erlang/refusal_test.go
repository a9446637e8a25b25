//go:build erlang

package erlang

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// wantStage checks where a connection failed, and that the error keeps the
// cookie to itself. It returns how many bytes the peer had sent.
func wantStage(t *testing.T, err error, stage erldist.Stage) (received int64) {
	t.Helper()
	var failed *erldist.StageError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *StageError", err)
	}
	if failed.Stage != stage {
		t.Errorf("failed in stage %s, want %s: %v", failed.Stage, stage, err)
	}
	if strings.Contains(err.Error(), cookie) {
		t.Errorf("the error contains the cookie: %v", err)
	}
	return failed.Received
}

func wantAlert(t *testing.T, err error, number ...uint8) {
	t.Helper()
	wantStage(t, err, erldist.StageTLS)
	var alert *erldist.AlertError
	if !errors.As(err, &alert) {
		t.Fatalf("got %v, want a TLS alert", err)
	}
	for _, n := range number {
		if alert.Number == n {
			return
		}
	}
	t.Errorf("alert %d, want one of %v", alert.Number, number)
}

// What a valid node refuses, with which error.
func TestRefusals(t *testing.T) {
	type trial struct {
		name   string
		change func(c *cluster, d *erldist.Dialer)
		node   func(n *beam.Node) string // the wanted name; default the node's
		check  func(t *testing.T, err error)
		log    string // what the node logs
	}
	with := func(certificate func(c *cluster) tls.Certificate) func(*cluster, *erldist.Dialer) {
		return func(c *cluster, d *erldist.Dialer) { d.TLS = erldist.ClientTLS(c.ca.Pool(), certificate(c)) }
	}
	trials := []trial{{
		name:   "wrong cookie",
		change: func(_ *cluster, d *erldist.Dialer) { d.Cookie = erldist.NewCookie("another") },
		check:  wantError(erldist.StageHandshake, erldist.ErrCookieRejected),
		log:    "Invalid challenge reply",
	}, {
		name: "another node's name",
		node: func(n *beam.Node) string { return "pay@" + n.Host.Name },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageHandshake)
			var mismatch *erldist.NameMismatchError
			if !errors.As(err, &mismatch) || !strings.HasPrefix(mismatch.Got, "chat@") {
				t.Errorf("got %v", err)
			}
		},
	}, {
		name:   "no client certificate",
		change: with(func(*cluster) tls.Certificate { return tls.Certificate{} }),
		check:  func(t *testing.T, err error) { wantAlert(t, err, 116) },
		log:    "certificate_required",
	}, {
		name: "client certificate of a foreign CA",
		change: with(func(c *cluster) tls.Certificate {
			return c.foreign.Issue("probe." + beam.Domain).TLS
		}),
		check: func(t *testing.T, err error) { wantAlert(t, err, 48) },
		log:   "Fatal - Unknown CA",
	}, {
		name: "expired client certificate",
		change: with(func(c *cluster) tls.Certificate {
			return c.ca.Issue("probe."+beam.Domain, beam.Expired).TLS
		}),
		check: func(t *testing.T, err error) { wantAlert(t, err, 45) },
		log:   "Fatal - Certificate Expired",
	}, {
		name: "client certificate for servers only",
		change: with(func(c *cluster) tls.Certificate {
			return c.ca.Issue("probe."+beam.Domain, beam.OnlyFor(x509.ExtKeyUsageServerAuth)).TLS
		}),
		check: func(t *testing.T, err error) { wantAlert(t, err, 40, 43) },
	}, {
		name: "TLS 1.2",
		change: func(_ *cluster, d *erldist.Dialer) {
			d.TLS.MinVersion, d.TLS.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		},
		check: func(t *testing.T, err error) { wantAlert(t, err, 70) },
		log:   "Fatal - Protocol Version",
	}, {
		name:   "plaintext",
		change: func(_ *cluster, d *erldist.Dialer) { d.TLS = nil },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageHandshake)
			if !errors.Is(err, erldist.ErrSpeaksTLS) && !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
		},
		log: "unsupported_record_type",
	}, {
		name:   "we do not trust the node's CA",
		change: func(c *cluster, d *erldist.Dialer) { d.TLS = erldist.ClientTLS(c.foreign.Pool(), c.probe.TLS) },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageTLS)
			if unknown := new(x509.UnknownAuthorityError); !errors.As(err, unknown) {
				t.Errorf("got %v", err)
			}
		},
		log: "CLIENT ALERT: Fatal - Bad Certificate",
	}, {
		name:   "nothing listens on the port",
		change: func(_ *cluster, d *erldist.Dialer) { d.Port = 9109 },
		check:  wantError(erldist.StageConnectDistribution, syscall.ECONNREFUSED),
	}, {
		name:   "no EPMD",
		change: func(_ *cluster, d *erldist.Dialer) { d.Port = 0 },
		check:  wantError(erldist.StageConnect, syscall.ECONNREFUSED),
	}, {
		name: "no such host",
		node: func(*beam.Node) string { return "chat@nowhere." + beam.Domain },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageResolve)
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				t.Errorf("got %v", err)
			}
		},
	}}

	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)})
		for _, trial := range trials {
			t.Run(trial.name, func(t *testing.T) {
				dialer, name, logged := c.dialer(node), node.Name, len(node.Log())
				if trial.change != nil {
					trial.change(c, dialer)
				}
				if trial.node != nil {
					name = trial.node(node)
				}
				_, err := dialer.Dial(deadline(t), name)
				trial.check(t, err)
				if trial.log == "" {
					return
				}
				if err := node.WaitLogFrom(logged, trial.log, time.Minute); err != nil {
					t.Errorf("%v\n%s", err, node.Log()[logged:])
				}
			})
		}
		// After all this the node still accepts a valid probe.
		if err := mustDial(t, c.dialer(node), node.Name).Ping(deadline(t)); err != nil {
			t.Error(err)
		}
	})
}

// Faults of a node, and the errors that they cause.
func TestTroubledNodes(t *testing.T) {
	trials := []struct {
		name   string
		change func(c *cluster, h *beam.Host, o *beam.Options)
		check  func(t *testing.T, err error)
	}{{
		name: "plaintext behind the port",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) {
			o.TLS = nil
			o.Args = []string{"-kernel", "net_setuptime", "1"} // instead of 7 s, for the test's sake
		},
		check: func(t *testing.T, err error) {
			// It takes the ClientHello for the beginning of a long message, waits for
			// its rest as long as it may and closes.
			received := wantStage(t, err, erldist.StageTLS)
			if !errors.Is(err, io.EOF) || received != 0 {
				t.Errorf("got %v after %d bytes, want EOF after none", err, received)
			}
		},
	}, {
		name:   "expired certificate",
		change: func(c *cluster, h *beam.Host, o *beam.Options) { o.TLS = c.nodeTLS(h, beam.Expired) },
		check:  wantInvalid(x509.Expired),
	}, {
		name:   "certificate that is not yet valid",
		change: func(c *cluster, h *beam.Host, o *beam.Options) { o.TLS = c.nodeTLS(h, beam.NotYetValid) },
		check:  wantInvalid(x509.Expired), // Go has one reason for both
	}, {
		name: "certificate for clients only",
		change: func(c *cluster, h *beam.Host, o *beam.Options) {
			o.TLS = c.nodeTLS(h, beam.OnlyFor(x509.ExtKeyUsageClientAuth))
		},
		check: wantInvalid(x509.IncompatibleUsage),
	}, {
		name:   "certificate of another host",
		change: func(c *cluster, _ *beam.Host, o *beam.Options) { o.TLS.Identity = c.ca.Issue("chat-7." + beam.Domain) },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageTLS)
			if wrong := new(x509.HostnameError); !errors.As(err, wrong) {
				t.Errorf("got %v", err)
			}
		},
	}, {
		name:   "wildcard certificate, which is valid",
		change: func(c *cluster, _ *beam.Host, o *beam.Options) { o.TLS.Identity = c.ca.Issue("*." + beam.Domain) },
		check:  wantNoError,
	}, {
		name:   "no certificate file",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) { o.TLS.Identity.CertPEM = nil },
		check:  wantHangup,
	}, {
		name:   "no CA file",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) { o.TLS.CAs = nil },
		check:  wantHangup,
	}, {
		name:   "key of another certificate",
		change: func(c *cluster, h *beam.Host, o *beam.Options) { o.TLS.Identity.KeyPEM = c.ca.Issue(h.Name).KeyPEM },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageTLS)
			if !strings.Contains(err.Error(), "invalid signature by the server certificate") {
				t.Errorf("got %v", err)
			}
		},
	}, {
		name:   "short name",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) { o.ShortName = true },
		check: func(t *testing.T, err error) {
			wantStage(t, err, erldist.StageHandshake)
			var mismatch *erldist.NameMismatchError
			if !errors.As(err, &mismatch) || mismatch.Got != "chat@chat-0" {
				t.Errorf("got %v", err)
			}
		},
	}, {
		name: "TLS 1.2 only",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) {
			o.TLS.OptionsFile = strings.ReplaceAll(beam.DefaultOptionsFile, "tlsv1.3", "tlsv1.2")
		},
		check: func(t *testing.T, err error) { wantAlert(t, err, 70) },
	}, {
		name: "allows other hosts only",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) {
			o.Args = []string{"-eval", "net_kernel:allow(['pay@pay-0." + beam.Domain + "'])."}
		},
		check: wantError(erldist.StageHandshake, io.EOF),
	}, {
		name: "allows our host, which is enough for a dynamic name",
		change: func(_ *cluster, _ *beam.Host, o *beam.Options) {
			o.Args = []string{"-eval", "net_kernel:allow(['pay@probe." + beam.Domain + "'])."}
		},
		check: wantNoError,
	}}
	onEachRelease(t, func(t *testing.T, otp string) {
		for _, trial := range trials {
			t.Run(trial.name, func(t *testing.T) {
				c := newCluster(t)
				host := c.Host("chat-0")
				options := beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)}
				trial.change(c, host, &options)
				node := host.Start(options)
				conn, err := c.dialer(node).Dial(deadline(t), "chat@"+host.Name)
				if err == nil {
					defer func() { _ = conn.Close() }()
				}
				trial.check(t, err)
			})
		}
	})
}

func wantNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func wantError(stage erldist.Stage, want error) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		t.Helper()
		wantStage(t, err, stage)
		if !errors.Is(err, want) {
			t.Errorf("got %v", err)
		}
	}
}

func wantInvalid(reason x509.InvalidReason) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		t.Helper()
		wantStage(t, err, erldist.StageTLS)
		var invalid x509.CertificateInvalidError
		if !errors.As(err, &invalid) || invalid.Reason != reason {
			t.Errorf("got %v", err)
		}
	}
}

// wantHangup requires what a node does that cannot read its own files.
func wantHangup(t *testing.T, err error) {
	t.Helper()
	received := wantStage(t, err, erldist.StageTLS)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || received != 0 {
		t.Errorf("got %v after %d bytes", err, received)
	}
}

// -proto_dist given twice silently means plaintext up to OTP 26; later releases take the
// first.
func TestProtoDistGivenTwice(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host),
			Args: []string{"-proto_dist", "inet_tls", "-kernel", "net_setuptime", "1"}})
		if otp != "25" {
			mustDial(t, c.dialer(node), node.Name)
			return
		}
		_, err := c.dialer(node).Dial(deadline(t), node.Name)
		if received := wantStage(t, err, erldist.StageTLS); received != 0 {
			t.Errorf("got %v after %d bytes", err, received)
		}
		mustDial(t, node.Dialer(), node.Name) // in plaintext
	})
}

// Without certificates, net_kernel:allow/1 is enforced in the handshake.
func TestNotAllowed(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		host := newCluster(t).Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100,
			Args: []string{"-eval", "net_kernel:allow(['pay@pay-0." + beam.Domain + "'])."}})
		_, err := node.Dialer().Dial(deadline(t), node.Name)
		wantStage(t, err, erldist.StageHandshake)
		var refused *erldist.StatusError
		if !errors.As(err, &refused) || refused.Status != "not_allowed" {
			t.Errorf("got %v", err)
		}
		if err := node.WaitLog("Connection attempt from disallowed node", time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// A host that drops what is sent to it.
func TestBlackhole(t *testing.T) {
	c := newCluster(t)
	host := c.Host("chat-0")
	node := host.Start(beam.Options{OTP: "27", Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)})
	const limit = 4 * time.Second // a host is reported unreachable after 3
	dialer := c.dialer(node)
	dialer.Timeouts = map[erldist.Stage]time.Duration{erldist.StageConnectDistribution: limit}
	mustDial(t, dialer, node.Name)
	host.Blackhole()
	start := time.Now()
	_, err := dialer.Dial(deadline(t), node.Name)
	took := time.Since(start)
	wantStage(t, err, erldist.StageConnectDistribution)
	var timeout *erldist.TimeoutError
	if !errors.As(err, &timeout) {
		t.Errorf("got %v", err)
	}
	// Unit tests measure it to the millisecond; here the machine may be busy.
	if most := limit + 2*time.Second; took < limit || took > most {
		t.Errorf("verdict after %s, want %s and at most %s", took, limit, most)
	}
	host.Restore()
	mustDial(t, dialer, node.Name)
}
