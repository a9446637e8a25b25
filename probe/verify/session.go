package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// A Session is an open connection to a node that was verified. It is hidden: the
// node does not count it among its peers.
type Session struct {
	node, host string
	conn       *erldist.Conn
	limits     Limits
	listened   sync.Once
}

// Info is what a node reports about itself.
type Info struct {
	OTPRelease string
	Uptime     time.Duration
	Hidden     bool // started with -hidden
	Peers      []string
	// PodUID is the UID of the pod that the node runs in; empty outside of ErlangClusters.
	PodUID string
	// release is the runtime for the kind of release that the node is; empty when it is none.
	release v1alpha1.Runtime
	// process is the operating system's process; zero when it is not known.
	process process
}

// Close ends the connection.
func (s *Session) Close() {
	_ = s.conn.Close() // All answers have been read: nothing is lost.
}

// OnLoss has a function called when the session ends and was not closed: the node has died, for
// instance. Only the first call counts.
func (s *Session) OnLoss(lost func()) {
	s.listened.Do(func() {
		go func() {
			if err := s.conn.Wait(); !errors.Is(err, erldist.ErrClosed) {
				lost()
			}
		}()
	})
}

// Info asks the node for all of it in one call. Of the
// functions that give its uptime, these change nothing in the node: statistics(wall_clock)
// would.
func (s *Session) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()

	calls := []erldist.MFA{
		{Module: "erlang", Function: "nodes"},
		{Module: "erlang", Function: "system_info", Args: []erldist.Term{erldist.Atom("otp_release")}},
		{Module: "erlang", Function: "monotonic_time"},
		{Module: "erlang", Function: "system_info", Args: []erldist.Term{erldist.Atom("start_time")}},
		{Module: "erlang", Function: "convert_time_unit",
			Args: []erldist.Term{erldist.Int(1), erldist.Atom("second"), erldist.Atom("native")}},
		getenv(naming.PodUIDVariable),
		// To a hidden client, as we are, every node is hidden in the handshake.
		{Module: "init", Function: "get_argument", Args: []erldist.Term{erldist.Atom("hidden")}},
		readFile(statFile("self")),
	}
	for _, kind := range releaseKinds {
		calls = append(calls, getenv(kind.variable))
	}
	answers, err := s.conn.CallAll(ctx, calls...)
	if err != nil {
		return Info{}, err
	}
	return parseInfo(answers)
}

func getenv(variable string) erldist.MFA {
	return erldist.MFA{Module: "os", Function: "getenv", Args: []erldist.Term{erldist.String(variable)}}
}

// errUnexpectedAnswer is about a call that returned what its function never does.
var errUnexpectedAnswer = errors.New("the node's answer to erlang:nodes/0, erlang:system_info/1 and os:getenv/1 has the wrong types")

func parseInfo(answers []erldist.Term) (Info, error) {
	peers, ok := erldist.Atoms(answers[0])
	if !ok {
		return Info{}, errUnexpectedAnswer
	}
	release, ok := erldist.Text(answers[1])
	if !ok {
		return Info{}, errUnexpectedAnswer
	}
	now, ok1 := answers[2].(erldist.Int)
	start, ok2 := answers[3].(erldist.Int)
	second, ok3 := answers[4].(erldist.Int)
	if !ok1 || !ok2 || !ok3 || second <= 0 {
		return Info{}, errUnexpectedAnswer
	}
	uid := ""
	if answers[5] != erldist.Term(erldist.Atom("false")) { // the answer for a variable that is not set
		if uid, ok = erldist.Text(answers[5]); !ok {
			return Info{}, errUnexpectedAnswer
		}
	}
	self, _ := parseProcess(fileContent(answers[7]))
	uptime := time.Duration(float64(now-start) / float64(second) * float64(time.Second))
	return Info{
		OTPRelease: release, Uptime: uptime, Peers: peers, PodUID: uid, process: self,
		release: runtimeOf(answers[8:]),
		Hidden:  answers[6] != erldist.Term(erldist.Atom("error")), // the answer for an argument that is not there
	}, nil
}

// ErrNotConnected is the node's answer that it could not connect to a peer. Only its log
// has the cause.
var ErrNotConnected = errors.New("net_kernel:connect_node/1 returned false")

// Connect has the node connect to a peer.
func (s *Session) Connect(ctx context.Context, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Link)
	defer cancel()

	answer, err := s.conn.Call(ctx, "net_kernel", "connect_node", erldist.Atom(peer))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", peer, err)
	}
	if answer != erldist.Term(erldist.Atom("true")) {
		return fmt.Errorf("connect to %s: %w", peer, ErrNotConnected)
	}
	return nil
}

// Silent are those of some peers that do not answer the node over its links to them. A link whose
// packets are lost stays until OTP finds nothing arriving for net_ticktime, a minute or more. The
// node calls them at once. They are to be linked to it just now: it connects to those that it is
// not linked to. A link that ended since the node listed it, a round trip ago, is made again by
// that, also where nothing is to be changed: OTP has no call that would not.
func (s *Session) Silent(ctx context.Context, peers []string) ([]string, error) {
	if len(peers) == 0 {
		return nil, nil
	}
	within := s.limits.Answer
	ctx, cancel := context.WithTimeout(ctx, within+s.limits.Call)
	defer cancel()
	answer, err := s.conn.Call(ctx, "rpc", "multicall",
		erldist.AtomList(peers...), erldist.Atom("erlang"), erldist.Atom("node"), erldist.List{}, erldist.Int(within.Milliseconds()))
	if err != nil {
		return nil, fmt.Errorf("call the peers of %s: %w", s.node, err)
	}
	if results, ok := answer.(erldist.Tuple); ok && len(results) == 2 {
		if silent, ok := erldist.Atoms(results[1]); ok {
			return silent, nil
		}
	}
	return nil, fmt.Errorf("call the peers of %s: the answer to rpc:multicall/5 has the wrong types", s.node)
}

// Reaches reports whether the node opens a TCP connection to an address, which it closes at
// once. The peer there logs nothing.
func (s *Session) Reaches(ctx context.Context, address string) (bool, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return false, fmt.Errorf("connect from %s: %w", s.node, err)
	}
	options := erldist.AtomList("inet")
	if to.Addr().Is6() {
		options = erldist.AtomList("inet6")
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Connect+s.limits.Call)
	defer cancel()
	answer, err := s.conn.Call(ctx, "gen_tcp", "connect",
		erldist.String(to.Addr().String()), erldist.Int(to.Port()), options, erldist.Int(s.limits.Connect.Milliseconds()))
	if failed := new(erldist.CallError); errors.As(err, &failed) {
		return false, nil // gen_tcp exits where the machine has a route to nowhere.
	}
	if err != nil {
		return false, fmt.Errorf("connect from %s to %s: %w", s.node, address, err)
	}
	result, ok := answer.(erldist.Tuple)
	return ok && len(result) == 2 && result[0] == erldist.Term(erldist.Atom("ok")), nil
}
