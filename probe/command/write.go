package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// writers are the ways to write a report, by the name of each.
var writers = map[string]func(Report, io.Writer) error{"text": Report.WriteText, "json": Report.WriteJSON}

// WriteJSON writes for programs.
func (r Report) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteText writes for people.
func (r Report) WriteText(out io.Writer) error {
	var text strings.Builder
	for _, verdict := range r.Nodes {
		writeVerdict(&text, verdict)
	}
	if len(r.Nodes) > 1 {
		writeMesh(&text, r)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func writeVerdict(text *strings.Builder, verdict verify.Verdict) {
	fmt.Fprintf(text, "%s: %s", verdict.Node, verdict.Reason)
	if !verdict.Verified() {
		fmt.Fprintf(text, " at stage %s", verdict.Stage)
	}
	text.WriteString("\n")
	for _, timing := range verdict.Timings {
		mark := "ok"
		if timing.Failed {
			mark = "failed"
		}
		fmt.Fprintf(text, "  %-20s %-6s %9s  %s\n", timing.Stage, mark, timing.Duration.Round(10*time.Microsecond), timing.Address)
	}
	if verdict.Verified() { // Before that a peer may say anything.
		fmt.Fprintf(text, "  OTP %s, up %s\n", verdict.OTPRelease, verdict.Uptime.Round(time.Second))
	}
	if !verdict.CertificateNotAfter.IsZero() {
		fmt.Fprintf(text, "  certificate until %s\n", verdict.CertificateNotAfter.UTC().Format(time.RFC3339))
	}
	if verdict.Message != "" {
		fmt.Fprintf(text, "  %s\n", verdict.Message)
	}
	if verdict.Reason == v1alpha1.ReasonTLSVersionMismatch {
		text.WriteString("  To verify it as it is: --tls-min=1.2\n")
	}
	text.WriteString("\n")
}

func writeMesh(text *strings.Builder, report Report) {
	if report.Whole {
		fmt.Fprintf(text, "One mesh: each of the %d nodes is linked to each.\n", len(report.Nodes))
		return
	}
	fmt.Fprintf(text, "Not one mesh. The nodes fall into %d parts:\n", len(report.Parts))
	for _, part := range report.Parts {
		fmt.Fprintf(text, "  %s\n", strings.Join(part, ", "))
	}
	for _, link := range report.Missing {
		fmt.Fprintf(text, "  %s is not linked to %s\n", link.From, link.To)
	}
}
