package rotation_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

var update = flag.Bool("update", false, "write what comes of each pass into the histories anew")

// Each file of testdata is a history: a line with what is observed in a pass, and below
// it, indented, the step that comes of that and is carried out. The words of the first
// are those of do.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, strings.Split(strings.TrimRight(string(want), "\n"), "\n"))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := gocmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// replay is a history with what comes of it.
func replay(t *testing.T, lines []string) string {
	var text strings.Builder
	var w *world
	for _, line := range lines {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&text, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if nodes, spec, found := strings.Cut(line, " nodes"); found && w == nil {
			replicas := 0
			if _, err := fmt.Sscan(nodes, &replicas); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			w = newWorld(spec, replicas)
			w.ofCookie = strings.HasPrefix(filepath.Base(t.Name()), "cookie")
		}
		fmt.Fprintln(&text, "\t"+w.pass(t, line))
	}
	return text.String()
}

// pass does what a line says, and carries out what follows.
func (w *world) pass(t *testing.T, line string) string {
	t.Helper()
	dies := ""
	for clause := range strings.SplitSeq(line, "; ") {
		verb, rest, _ := strings.Cut(clause, " ")
		if verb == "dies-before" {
			dies = rest
		} else if !w.do(verb, rest) {
			t.Fatalf("%s: what is %q?", line, verb)
		}
	}
	if w.ofCookie {
		return describeCookie(w.nextCookie())
	}
	step := rotation.NextCA(w.see())
	w.carryOut(step, dies)
	return describeCA(step)
}

// do has somebody do something. It reports whether it knows the word.
func (w *world) do(verb, rest string) bool {
	if verb == "spec" {
		w.change(rest)
		return true
	}
	if verb == "edit-cookie" {
		w.situation.EditedCookie = rest
		w.newVersion()
		return true
	}
	if verb == "silent" {
		since, err := time.ParseDuration(rest)
		w.situation.Silent = since
		return err == nil
	}
	if verb == "user-cookie" {
		w.situation.UserCookie = &statetest.UserCookie{Value: &rest}
		return true
	}
	act, known := map[string]func(string){
		"issue": w.issue, "start": w.start, "stop": w.stop, "lose": w.lose, "serve": w.serve, "verify": w.verify, "age": w.age, "keep": w.keep,
		"accept": func(pod string) { w.accept(pod, true) }, "refuse": func(pod string) { w.accept(pod, false) },
		"replicas": func(string) { w.situation.StatefulSet.Replicas = int32(len(w.situation.Pods)) },
		"remake":   func(ca string) { w.situation.CAs[ca] += "-remade" },
	}[verb]
	for name := range strings.FieldsSeq(rest) {
		switch {
		case !known:
		case name == "all" && verb != "issue":
			for _, pod := range w.pods() {
				act(pod)
			}
		default:
			act(name)
		}
	}
	return known || verb == "pass" || rest != "" && strings.HasPrefix(rest, "nodes")
}

func describeCA(step rotation.CAStep) string {
	canary := ""
	if step.Canary != nil {
		canary = step.Canary.Name
	}
	return described(step.Step, "issuer", step.Issuer.Name, "CAs", strings.Join(step.CAs, " "),
		"trust", strings.Join(commonNames(step.Trust), " "), "canary", canary)
}

func describeCookie(step rotation.CookieStep) string {
	return described(step.Step, "cookie", string(step.Cookie), "former", string(step.Former))
}

func described(step rotation.Step, fields ...string) string {
	text := string(step.Phase)
	for i := 0; i < len(fields); i += 2 {
		text += fmt.Sprintf(" | %s: %s", fields[i], cmp.Or(fields[i+1], "-"))
	}
	if step.WaitingFor != "" {
		text += " | waiting for " + step.WaitingFor
	}
	return text
}
