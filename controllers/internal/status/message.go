package status

import "strings"

// sentence ends a text as a sentence, once.
func sentence(text string) string {
	return strings.TrimRight(text, ". ") + "."
}

// capitalized begins a sentence.
func capitalized(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// bounded keeps a message readable, and a status within its size, with room for so
// many bytes more.
func bounded(message string, room int) string { return shortened(message, 1024-room) }

// shortened cuts a text that has more than so many bytes, and shows that it did.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(" …")], "") + " …"
}
