package beam

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// ownFlags are the flags of erl that must be there once. Given twice, -proto_dist
// means plaintext before OTP 27.1, -setcookie is ignored both times or has no effect
// beside ours, -ssl_dist_optfile ends the VM, and -sname beats -name. With -hidden, nodes
// are not linked to each other.
var ownFlags = []string{"-name", "-sname", "-hidden", "-setcookie", "-proto_dist", "-ssl_dist_optfile",
	"-start_epmd", "-erl_epmd_port", "inet_dist_listen_min", "inet_dist_listen_max"}

// Programs that a command line is followed through.
var (
	shells = []string{"sh", "ash", "bash", "dash", "zsh"}
	// launchers run the program that is named among their arguments.
	launchers = []string{"busybox", "catatonit", "docker-init", "dumb-init", "env", "gosu", "nice", "nohup", "setpriv",
		"setsid", "su-exec", "timeout", "tini"}
)

// ownFlagsOfCommand are our flags that a container's command gives to the BEAM.
// Without a command the image says which program gets the arguments, unless they name
// one: then only flags count that no other program has.
func ownFlagsOfCommand(command, args []string) []string {
	if len(command) == 0 && len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return slices.DeleteFunc(ownFlagsOfErl(args), func(flag string) bool { return flag == "-name" })
	}
	return ownFlagsOfCall(slices.Concat(command, args))
}

// ownFlagsOfCall are our flags among the words of one call of a program, and
// those that it leads to.
func ownFlagsOfCall(call []string) []string {
	at := program(call)
	if at < 0 {
		return nil
	}
	name, arguments := path.Base(call[at]), call[at+1:]
	if !slices.Contains(shells, name) {
		return ownFlagsOf(name, arguments)
	}
	var flags []string
	for _, call := range callsOfShell(arguments) {
		flags = append(flags, ownFlagsOfCall(call)...)
	}
	return flags
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// program finds the program in a call, behind assignments, exec and launchers; -1 if
// it finds none.
func program(call []string) int {
	launched := false
	for at, word := range call {
		name := path.Base(word)
		switch {
		case assignment.MatchString(word), name == "exec":
		case slices.Contains(launchers, name):
			launched = true
		case !launched, call[at-1] == "--", slices.Contains(slices.Concat(programs(), shells), name):
			return at
		}
	}
	return -1
}

// callsOfShell are the calls in the script that is among a shell's arguments, after -c.
func callsOfShell(arguments []string) [][]string {
	at := slices.IndexFunc(arguments, func(word string) bool {
		return strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") && strings.HasSuffix(word, "c")
	})
	if at < 0 || at+1 == len(arguments) {
		return nil
	}
	script, err := syntax.NewParser().Parse(strings.NewReader(arguments[at+1]), "")
	if err != nil {
		return nil // The shell reports what is wrong with it.
	}
	var given []string // what "$@" stands for, but for $0
	if at+3 < len(arguments) {
		given = arguments[at+3:]
	}
	var calls [][]string
	syntax.Walk(script, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok {
			var words []string
			for _, word := range call.Args {
				words = append(words, wordsOf(word.Parts, given)...)
			}
			calls = append(calls, words)
		}
		return true
	})
	return calls
}

// wordsOf are the words that a shell makes of one of a script, as far as they do not
// depend on what it runs in.
func wordsOf(parts []syntax.WordPart, given []string) []string {
	var text strings.Builder
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text.WriteString(part.Value)
		case *syntax.SglQuoted:
			text.WriteString(part.Value)
		case *syntax.DblQuoted:
			quoted := wordsOf(part.Parts, given)
			if len(parts) == 1 {
				return quoted // "$@" makes as many words as were given.
			}
			text.WriteString(strings.Join(quoted, " "))
		case *syntax.ParamExp:
			if part.Param.Value == "@" {
				return given
			}
		}
	}
	return []string{text.String()}
}

// ownFlagsOfErl are our flags among the arguments of erl.
func ownFlagsOfErl(arguments []string) []string {
	if extra := slices.Index(arguments, "-extra"); extra >= 0 {
		arguments = arguments[:extra]
	}
	var flags []string
	for _, flag := range ownFlags {
		if slices.Contains(arguments, flag) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// ownFlagsOfElixir are our flags among the arguments of elixir or iex, which end
// where a script begins: what follows is the script's own.
func ownFlagsOfElixir(arguments []string) []string {
	var flags []string
	for at := 0; at < len(arguments); at++ {
		switch word := arguments[at]; word {
		case "--hidden":
			flags = append(flags, word)
		case "--name", "--sname", "--cookie":
			flags = append(flags, word)
			at++
		case "--erl":
			if at++; at < len(arguments) {
				flags = append(flags, ownFlagsOfErl(strings.Fields(arguments[at]))...)
			}
		case "--no-halt", "--werl", "-v", "--version", "--short-version":
		case "--rpc-eval", "--boot-var", "--pipe-to":
			at += 2
		case "-S", "--":
			return flags
		default:
			if !strings.HasPrefix(word, "-") {
				return flags
			}
			at++ // The value of another option.
		}
	}
	return flags
}
