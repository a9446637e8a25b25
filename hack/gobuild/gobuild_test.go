package gobuild

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// `docker build` makes what a release is, except for the labels.
func TestDockerfileBuildsTheSame(t *testing.T) {
	content, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile := strings.ReplaceAll(string(content), "\\\n    ", "")
	config := ImageConfig("erlang-operator", nil)
	for _, line := range []string{
		fmt.Sprintf(`go build %s -ldflags="%s -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /erlang-operator ./cmd/erlang-operator`,
			strings.Join(Flags, " "), LinkerFlags),
		"FROM scratch\nCOPY --from=build /erlang-operator /erlang-operator\n",
		"\nUSER " + config.User + "\n",
		"\nWORKDIR " + config.WorkingDir + "\n",
		fmt.Sprintf("\nENTRYPOINT [%q]\n", config.Entrypoint[0]),
	} {
		if !strings.Contains(dockerfile, line) {
			t.Errorf("Dockerfile does not have\n%s", line)
		}
	}
}
