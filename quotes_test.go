package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// People search the troubleshooting guide for the message that they see. So every message
// that it quotes as observed, or from the probe's log, must be one of the code's.
func TestTroubleshootingQuotesTheMessagesOfTheCode(t *testing.T) {
	guide, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	code := phrasesOf(t, "api", "certs", "controllers", "probe", "erldist")
	reason, checked := "", 0
	for _, paragraph := range regexp.MustCompile(`(?m)^(?:- |### )`).Split(string(guide), -1) {
		if !strings.HasPrefix(paragraph, "**") {
			reason, _, _ = strings.Cut(paragraph, "\n")
		}
		quoting := strings.Join(fromLog.FindAllString(paragraph, -1), "")
		if strings.HasPrefix(paragraph, "**Observed") {
			quoting = ofOthers.ReplaceAllString(paragraph, "")
		}
		for _, quote := range regexp.MustCompile("`[^`]+`").FindAllString(quoting, -1) {
			for _, pair := range pairs(constantParts(strings.Trim(quote, "`"))) {
				checked++
				if joined := code.ends[pair[0]] && code.begins[pair[1]]; !joined && !code.pairs[pair] {
					t.Errorf("docs/troubleshooting.md, section %s quotes %s, but no message has %q", reason, quote, pair[0]+" "+pair[1])
				}
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d pairs of words were checked: the guide is not written as this test expects", checked)
	}
}

var fromLog = regexp.MustCompile("`[^`]+`\\s+in\\s+`kubectl logs deployment/chat-probe")

// ofOthers are quotes of what a node logs, and cert-manager, and of events.
var ofOthers = regexp.MustCompile("(?s)(logs|event)\\s+`[^`]+`(,? (or )?`[^`]+`)*|: Error getting[^`]*")

// variable are parts of a message that differ from case to case: verbs of fmt, omissions,
// numbers, quoted names, and whatever else is no word.
var variable = regexp.MustCompile(`%(\[\d\])?[a-z]|…|"[^"]*"|\S*[^A-Za-z'’\s,.:;()]\S*|\S+[.:]\S+|\b[A-Z]{4,}\b|[A-Z]?[a-z]+([A-Z][a-z]+)+|\bchat\b`)

// constantParts are the words of a text between its variable parts.
func constantParts(text string) [][]string {
	var parts [][]string
	for _, part := range variable.Split(text, -1) {
		words := strings.FieldsFunc(strings.ToLower(part), func(r rune) bool { return strings.ContainsRune(" \t\n,.:;()", r) })
		if len(words) > 0 {
			parts = append(parts, words)
		}
	}
	return parts
}

func pairs(parts [][]string) [][2]string {
	var all [][2]string
	for _, words := range parts {
		for i := 1; i < len(words); i++ {
			all = append(all, [2]string{words[i-1], words[i]})
		}
	}
	return all
}

// phrases are what the strings of the code are made of: neighbouring words, and the words
// that begin and end a constant part, since messages are made of several.
type phrases struct {
	pairs        map[[2]string]bool
	begins, ends map[string]bool
}

func phrasesOf(t *testing.T, directories ...string) phrases {
	found := phrases{map[[2]string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, file := range sources(t, directories...) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				found.add(literal.Value)
			}
			return true
		})
	}
	return found
}

func (p phrases) add(literal string) {
	text, _ := strconv.Unquote(literal) // What was parsed can be unquoted.
	parts := constantParts(text)
	for _, words := range parts {
		p.begins[words[0]], p.ends[words[len(words)-1]] = true, true
	}
	for _, pair := range pairs(parts) {
		p.pairs[pair] = true
	}
}
