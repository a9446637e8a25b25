package verify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// member plays a node that knows the cookie, over plain TCP, up to the end of the
// handshake. It is silent from then on.
type member struct {
	name, cookie string
	hangsUp      bool        // instead of its own proof
	digests      chan []byte // of our proof and of its own
}

func (m member) play(conn net.Conn) {
	in := bufio.NewReader(conn)
	if read(in) == nil {
		return
	}
	write(conn, 's', "named:", uint16(len("X@probe")), "X@probe", uint32(1))
	write(conn, 'N', uint64(0x4_07DF7FBC), uint32(7), uint32(1), uint16(len(m.name)), m.name)
	reply := read(in)
	if len(reply) != 1+4+md5.Size {
		return
	}
	ours := md5.Sum(fmt.Append(nil, m.cookie, binary.BigEndian.Uint32(reply[1:])))
	if m.digests != nil {
		m.digests <- reply[5:]
		m.digests <- ours[:]
	}
	if m.hangsUp {
		return
	}
	write(conn, 'a', string(ours[:]))
	silent(conn)
}

// read reads a message of the handshake; nil when none comes.
func read(in io.Reader) []byte {
	var length uint16
	if binary.Read(in, binary.BigEndian, &length) != nil {
		return nil
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(in, message); err != nil {
		return nil
	}
	return message
}

// write writes a message of the handshake.
func write(out io.Writer, tag byte, fields ...any) {
	message := bytes.NewBuffer([]byte{tag})
	for _, field := range fields {
		if text, ok := field.(string); ok {
			message.WriteString(text)
			continue
		}
		_ = binary.Write(message, binary.BigEndian, field) // A buffer takes it all.
	}
	_, _ = out.Write(append(binary.BigEndian.AppendUint16(nil, uint16(message.Len())), message.Bytes()...))
}

// TestTimeToVerdict: whatever hangs, a verdict takes no longer than the stage that
// hangs may take, and 100 ms. A second look is part of its stage.
func TestTimeToVerdict(t *testing.T) {
	ours := certstest.NewAuthority("ours")
	ignorant := func(conn net.Conn) { // an epmd that says nothing else, ever
		names, _ := bufio.NewReader(conn).Peek(3)
		if len(names) == 3 && names[2] == 'z' {
			_, _ = io.WriteString(conn, "\x77\x01")
			return
		}
		silent(conn)
	}
	for name, tc := range map[string]struct {
		epmd, node func(net.Conn)
		hang       v1alpha1.Stage // where nothing comes back at all
		plaintext  bool
		stage      v1alpha1.Stage
		reason     string
	}{
		"Resolve":             {hang: v1alpha1.StageResolve, stage: v1alpha1.StageResolve, reason: v1alpha1.ReasonNameResolutionFailed},
		"Connect":             {hang: v1alpha1.StageConnect, epmd: silent, stage: v1alpha1.StageConnect, reason: v1alpha1.ReasonConnectionTimedOut},
		"Lookup":              {epmd: silent, stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonEPMDUnreachable},
		"Lookup, second look": {epmd: ignorant, stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonNodeNotRegistered},
		"ConnectDistribution": {hang: v1alpha1.StageConnectDistribution, stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionTimedOut},
		"TLS, and second look": {
			node: silent, stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeTimedOut,
		},
		"Handshake": {node: silent, plaintext: true, stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeTimedOut},
		"Call": {
			node: member{name: "chat@localhost", cookie: cookie}.play, plaintext: true,
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonCallFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			// One after the other: nothing else should take time. Only the stage in
			// question has this little of it.
			const limit, ample = 600 * time.Millisecond, 10 * time.Second
			limits := map[v1alpha1.Stage]time.Duration{
				v1alpha1.StageResolve: ample, v1alpha1.StageConnect: ample, v1alpha1.StageLookup: ample,
				v1alpha1.StageConnectDistribution: ample, v1alpha1.StageTLS: ample, v1alpha1.StageHandshake: ample, v1alpha1.StageCall: ample,
			}
			limits[tc.stage] = limit
			hang := func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}
			verifier := &Verifier{
				Credentials: Credentials{Cookie: erldist.NewCookie(cookie), Certificate: issue(ours), Trust: certs.Trust{}.With(ours.Certificate)},
				Limits: Limits{
					Resolve: limits[v1alpha1.StageResolve], Connect: limits[v1alpha1.StageConnect], Lookup: limits[v1alpha1.StageLookup],
					ConnectDistribution: limits[v1alpha1.StageConnectDistribution], TLS: limits[v1alpha1.StageTLS],
					Handshake: limits[v1alpha1.StageHandshake], Call: limits[v1alpha1.StageCall],
				},
				Plaintext: tc.plaintext,
				Resolve: func(ctx context.Context, _ string) ([]string, error) {
					if tc.hang == v1alpha1.StageResolve {
						return nil, hang(ctx)
					}
					return []string{"127.0.0.1"}, nil
				},
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if tc.hang != "" {
						return nil, hang(ctx)
					}
					return new(net.Dialer).DialContext(ctx, network, address)
				},
			}
			target := Target{Node: "chat@localhost", FixedPort: 1}
			if tc.epmd != nil {
				target.FixedPort, target.EPMDPort = 0, server(t, tc.epmd)
			}
			if tc.node != nil {
				target.FixedPort = server(t, tc.node)
			}

			// Of a busy machine, the best of some tries counts.
			for try := 1; ; try++ {
				begun := time.Now()
				verdict, _ := verifier.Verify(t.Context(), target)
				took := time.Since(begun)
				if verdict.Stage != tc.stage || verdict.Reason != tc.reason {
					t.Fatalf("verdict is %s at %s, want %s at %s: %s", verdict.Reason, verdict.Stage, tc.reason, tc.stage, verdict.Message)
				}
				if took < limit {
					t.Fatalf("the verdict took %s, and the stage may take %s: %v", took, limit, verdict.Timings)
				}
				if took <= limit+100*time.Millisecond {
					return
				}
				if try == 20 {
					t.Fatalf("the verdict took %s where the stage may take %s: %v", took, limit, verdict.Timings)
				}
			}
		})
	}
}
