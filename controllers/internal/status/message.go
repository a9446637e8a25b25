package status

import (
	"regexp"
	"strings"
)

// The time of an attempt, and the port that it was made from, in the text of an error.
var (
	attemptTime = regexp.MustCompile(`current time \S+`)
	attemptPort = regexp.MustCompile(`(?:\d+(?:\.\d+){3}|\[[0-9A-Fa-f:.]+\]):\d+->`)
)

// repeatable drops from the text of an error what differs each time that the same fails: a
// status that is written because its text differs causes the next reconciliation at once,
// and that the next text.
func repeatable(text string) string {
	return attemptPort.ReplaceAllString(attemptTime.ReplaceAllString(text, "now"), "")
}

// sentence ends a text as a sentence, once.
func sentence(text string) string {
	return strings.TrimRight(text, ". ") + "."
}

const (
	// maxMessage keeps a message readable, and a status within its size. No event takes more.
	maxMessage = 1024
	// maxCommand is enough for a command that names every object of a cluster of 100 nodes.
	maxCommand = 16 << 10
)
