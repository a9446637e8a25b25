package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine has an apt-get that can install what its lists have, and is given new ones by update.
const machine = `#!/bin/sh
while [ "${1#-}" != "$1" ]; do [ "$1" != -o ] || shift; shift; done
case $1 in
update) touch "$LISTS"; echo "E: The repository of somebody else is gone" >&2; exit 100 ;;
install) [ -e "$LISTS" ] || { echo "E: Unable to locate package" >&2; exit 100; }; shift; echo "$@" >"$LISTS.installed" ;;
esac
`

func TestInstallUpdatesTheLists(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(machine), 0o755); err != nil {
		t.Fatal(err)
	}
	lists := filepath.Join(dir, "lists")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("LISTS", lists)
	if err := Install(t.Context(), "runc", "nftables"); err != nil {
		t.Fatal(err)
	}
	if installed, _ := os.ReadFile(lists + ".installed"); !strings.HasSuffix(string(installed), " runc nftables\n") {
		t.Errorf("installed %q", installed)
	}

	t.Setenv("PATH", t.TempDir())
	if err := Install(t.Context(), "runc"); err == nil || !strings.Contains(err.Error(), "has no apt-get: install runc with") {
		t.Errorf("without apt-get: %v", err)
	}
}
