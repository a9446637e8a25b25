package command

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// ErrNotVerified is the error when nodes were tried and not all of them are verified and
// linked. With any other error there is no verdict.
var ErrNotVerified = errors.New("not all nodes are verified and linked")

// ExitStatus is the exit status for an error of Verify: 0 when all nodes are verified
// and linked to each other, 1 when not, 2 when there is no verdict.
func ExitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrNotVerified):
		return 1
	default:
		return 2
	}
}

// Verify is the command `verify NODE...`. The verifier determines how nodes are found and
// reached, and within which limits; its credentials come from the command line.
func Verify(verifier verify.Verifier) *cobra.Command {
	options := options{verifier: verifier}
	command := &cobra.Command{
		Use:   "verify NODE...",
		Short: "Verify Erlang nodes, stage by stage",
		Long: `Verify Erlang nodes, stage by stage: from DNS through epmd, TLS and the distribution
handshake to a remote call. With several nodes, their links are verified too: each should be
linked to each.

Exit status: 0 when all nodes are verified and linked, 1 when not, 2 when there is no verdict: the
command line is wrong, or the command was interrupted.`,
		Example: `  erlang-operator verify chat@chat-0.example.com chat@chat-1.example.com \
      --cookie-file=cookie --cacert=ca.pem --cert=tls.crt --key=tls.key`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, nodes []string) error {
			return options.run(command.Context(), command.OutOrStdout(), nodes)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.files.Cookie, "cookie-file", "", "file that holds the cookie; a newline at its end does not count")
	flags.StringVar(&options.files.CA, "cacert", "", "file with the CA certificates to trust, PEM")
	flags.StringVar(&options.files.Certificate, "cert", "", "file with the certificate to show and its chain, PEM")
	flags.StringVar(&options.files.Key, "key", "", "file with the certificate's private key, PEM; may be the same file as --cert")
	flags.BoolVar(&options.plaintext, "plaintext", false, "the nodes do not run distribution over TLS")
	flags.Uint16Var(&options.port, "port", 0, "distribution port of nodes that run without epmd")
	flags.Uint16Var(&options.epmdPort, "epmd-port", 4369, "port of epmd")
	flags.StringVar(&options.tlsMin, "tls-min", "1.3", "oldest TLS version to accept, 1.2 or 1.3; the default of OTP 25 is 1.2 alone")
	flags.BoolVar(&options.ipv4, "ipv4", false, "reach the nodes over IPv4 only (inet_tls)")
	flags.BoolVar(&options.ipv6, "ipv6", false, "reach the nodes over IPv6 only (inet6_tls)")
	flags.DurationVar(&options.timeout, "timeout", 0, "give up on a node after this time; 0 leaves it to the limit of each stage")
	command.MarkFlagsMutuallyExclusive("ipv4", "ipv6")
	flags.StringVarP(&options.output, "output", "o", "text", "text or json")
	return command
}

type options struct {
	verifier  verify.Verifier
	files     Files
	plaintext bool
	port      uint16
	epmdPort  uint16
	tlsMin    string
	ipv4      bool
	ipv6      bool
	timeout   time.Duration
	output    string
}

// versions are the TLS versions that can be the oldest to accept.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (o options) run(ctx context.Context, out io.Writer, nodes []string) error {
	write, ok := writers[o.output]
	if !ok {
		return fmt.Errorf("--output is %q; it must be text or json", o.output)
	}
	verifier, err := o.withCredentials()
	if err != nil {
		return err
	}
	targets, err := o.targets(nodes)
	if err != nil {
		return err
	}
	report := NewReport(o.verify(ctx, verifier, targets))
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err()) // What failed because of it proves nothing.
	}
	if err := write(report, out); err != nil {
		return err
	}
	if !report.Whole {
		return ErrNotVerified
	}
	return nil
}

func (o options) withCredentials() (verifier verify.Verifier, err error) {
	verifier = o.verifier
	if verifier.MinTLS, err = o.minTLS(); err != nil {
		return verifier, err
	}
	verifier.Plaintext = o.plaintext
	verifier.Credentials, err = o.files.read(o.plaintext)
	return verifier, err
}

func (o options) minTLS() (uint16, error) {
	version, ok := versions[o.tlsMin]
	if !ok {
		return 0, fmt.Errorf("--tls-min is %q; it must be 1.2 or 1.3", o.tlsMin)
	}
	return version, nil
}

// targets are the nodes, each of them once.
func (o options) targets(nodes []string) ([]verify.Target, error) {
	var targets []verify.Target
	for i, node := range nodes {
		if _, _, err := erldist.SplitNodeName(node); err != nil {
			return nil, fmt.Errorf("%q is not a full node name: give it as name@host", node)
		}
		if !slices.Contains(nodes[:i], node) {
			targets = append(targets, verify.Target{Node: node, FixedPort: o.port, EPMDPort: o.epmdPort, Network: o.network()})
		}
	}
	return targets, nil
}

func (o options) network() string {
	switch {
	case o.ipv4:
		return "tcp4"
	case o.ipv6:
		return "tcp6"
	default:
		return ""
	}
}

func (o options) verify(ctx context.Context, verifier verify.Verifier, targets []verify.Target) []verify.Verdict {
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	verdicts := make([]verify.Verdict, len(targets))
	var group sync.WaitGroup
	for i, target := range targets {
		group.Go(func() {
			verdict, session := verifier.Verify(ctx, target)
			if session != nil {
				session.Close()
			}
			verdicts[i] = verdict
		})
	}
	group.Wait()
	return verdicts
}

// Report is the result of verifying some nodes.
type Report struct {
	// Whole reports whether all nodes are verified, and each is linked to each.
	Whole bool `json:"whole"`
	// Nodes are the verdicts, in the order asked for.
	Nodes []verify.Verdict `json:"nodes"`
	// Parts are what the nodes fall into: one, of a whole mesh.
	Parts [][]string `json:"parts"`
	// Missing are the links that should be and are not: From does not report it.
	Missing []mesh.Edge `json:"missing,omitempty"`
}

// NewReport compares what the nodes report of each other.
func NewReport(verdicts []verify.Verdict) Report {
	r := Report{Nodes: verdicts}
	var names []string
	views := map[string][]string{}
	for _, verdict := range r.Nodes {
		names = append(names, verdict.Node)
		if verdict.Verified() {
			views[verdict.Node] = verdict.Peers
		}
	}
	m := mesh.Of(names, views)
	r.Whole = m.Whole() && len(views) == len(names)
	r.Parts = m.Components()
	for _, node := range names {
		for _, peer := range m.Missing(node) {
			r.Missing = append(r.Missing, mesh.Edge{From: node, To: peer})
		}
	}
	return r
}

// Files are where credentials are. The cookie is never taken from the command line,
// where every process of the machine could read it.
type Files struct {
	Cookie, CA, Certificate, Key string
}

func (f Files) read(plaintext bool) (verify.Credentials, error) {
	cookie, err := readFile("--cookie-file", f.Cookie)
	if err != nil {
		return verify.Credentials{}, err
	}
	cookie = strings.TrimRight(cookie, "\r\n")
	if cookie == "" {
		return verify.Credentials{}, fmt.Errorf("--cookie-file: %s is empty", f.Cookie)
	}
	if plaintext {
		return verify.Credentials{Cookie: erldist.NewCookie(cookie)}, nil
	}
	ca, err := readFile("--cacert", f.CA)
	if err != nil {
		return verify.Credentials{}, err
	}
	certificate, err := readFile("--cert", f.Certificate)
	if err != nil {
		return verify.Credentials{}, err
	}
	key, err := readFile("--key", f.Key)
	if err != nil {
		return verify.Credentials{}, err
	}
	combined := append(withoutCertificates([]byte(key)), certificate...)
	return verify.ParseCredentials(erldist.NewCookie(cookie), combined, []byte(ca))
}

// withoutCertificates is for a file that holds a private key and its certificate: the
// chain that we send must not have a certificate twice.
func withoutCertificates(text []byte) (rest []byte) {
	for block, text := pem.Decode(text); block != nil; block, text = pem.Decode(text) {
		if block.Type != "CERTIFICATE" {
			rest = append(rest, pem.EncodeToMemory(block)...)
		}
	}
	return rest
}

func readFile(flag, path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("%s is missing (with --plaintext, only --cookie-file is needed)", flag)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	return string(content), nil
}
