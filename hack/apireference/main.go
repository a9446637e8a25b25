// Command apireference post-processes the API reference of crd-ref-docs: it writes the defaults
// of objects, which are Go maps there, as YAML.
package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apireference FILE")
		os.Exit(2)
	}
	if err := finish(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "apireference:", err)
		os.Exit(1)
	}
}

func finish(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	finished := defaults.ReplaceAllStringFunc(string(text), func(cell string) string {
		value, failed := asYAML(defaults.FindStringSubmatch(cell)[1])
		if failed != nil {
			err = fmt.Errorf("default %s: %w", cell, failed)
		}
		return "| `" + value + "` |"
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(finished), 0o644)
}

// defaults are the cells that have an object.
var defaults = regexp.MustCompile(`\| \\\{ (.*?) ?\\\} \|`)

// asYAML is a map as package fmt prints it, whose keys and values have neither colons nor
// spaces, in YAML.
func asYAML(printed string) (string, error) {
	text := "{" + strings.NewReplacer("map[", "{", "]", "}", ":", ": ", " ", ", ").Replace(printed) + "}"
	var value map[string]any
	return text, yaml.Unmarshal([]byte(text), &value)
}
