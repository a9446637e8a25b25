package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A stage of a Dockerfile.
type stage struct {
	name, base string
	steps      []step
}

// A step is an instruction of a Dockerfile, and what follows it.
type step struct{ instruction, arguments string }

// instructions are those that a stage can have. Others are an error, rather than an image
// that differs from the one that `docker build` makes.
var instructions = []string{"CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "RUN", "USER", "WORKDIR"}

// parseDockerfile returns the stages of a Dockerfile. The given build arguments replace
// the defaults of ARG, which may be used in FROM.
func parseDockerfile(text string, given map[string]string) ([]stage, error) {
	var stages []stage
	arguments := map[string]string{}
	for _, s := range steps(text) {
		switch {
		case s.instruction == "ARG" && len(stages) == 0:
			name, value, _ := strings.Cut(s.arguments, "=")
			if other, ok := given[name]; ok {
				value = other
			}
			arguments[name] = value
		case s.instruction == "FROM":
			stages = append(stages, newStage(os.Expand(s.arguments, func(name string) string { return arguments[name] })))
		case len(stages) > 0 && slices.Contains(instructions, s.instruction):
			last := &stages[len(stages)-1]
			last.steps = append(last.steps, s)
		default:
			return nil, fmt.Errorf("the instruction %q is not implemented here", s.instruction+" "+s.arguments)
		}
	}
	return stages, nil
}

// newStage reads "BASE" or "BASE AS NAME".
func newStage(from string) stage {
	words := strings.Fields(from)
	if len(words) == 3 {
		return stage{name: words[2], base: words[0]}
	}
	return stage{base: from}
}

// steps are the instructions of a Dockerfile, continued lines joined.
func steps(text string) []step {
	var read []step
	var whole string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		begun, continued := strings.CutSuffix(line, `\`)
		if whole += begun; continued {
			continue
		}
		instruction, arguments, _ := strings.Cut(whole, " ")
		read = append(read, step{strings.ToUpper(instruction), strings.TrimSpace(arguments)})
		whole = ""
	}
	return read
}

// A copied is what a COPY instruction names.
type copied struct {
	// from is the stage that the sources are in; empty for the directory of the Dockerfile.
	from string
	// owner is the number of the user and of the group.
	owner   string
	sources []string
	target  string
}

func parseCopy(arguments string) (copied, error) {
	var c copied
	words := strings.Fields(arguments)
	for ; len(words) > 0 && strings.HasPrefix(words[0], "--"); words = words[1:] {
		switch option, value, _ := strings.Cut(words[0], "="); option {
		case "--from":
			c.from = value
		case "--chown":
			c.owner = value
		default:
			return c, fmt.Errorf("COPY %s: the option %s is not implemented here", arguments, option)
		}
	}
	if len(words) < 2 {
		return c, fmt.Errorf("COPY %s: a source or the target is missing", arguments)
	}
	c.sources, c.target = words[:len(words)-1], words[len(words)-1]
	if !strings.HasSuffix(c.target, "/") {
		return c, fmt.Errorf("COPY %s: the target must be a directory, with a slash at its end", arguments)
	}
	return c, nil
}

// parseCommand reads the argument of CMD and ENTRYPOINT.
func parseCommand(arguments string) ([]string, error) {
	var command []string
	if err := json.Unmarshal([]byte(arguments), &command); err != nil {
		return nil, fmt.Errorf("%s is not a command in the exec form: %w", arguments, err)
	}
	return command, nil
}
