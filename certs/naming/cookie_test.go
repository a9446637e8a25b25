package naming_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

func TestCheckCookie(t *testing.T) {
	tests := map[string]struct {
		cookie string
		says   string // empty when it will do
	}{
		"letters and digits":   {"Monster42", ""},
		"every allowed mark":   {"a_.=+/-b", ""},
		"the shortest":         {"12345678", ""},
		"the longest":          {strings.Repeat("x", 255), ""},
		"as base64 makes it":   {"q83vEjRWeJA=", ""},
		"empty":                {"", "empty"},
		"of echo":              {"Monster42\n", "newline"},
		"of echo on Windows":   {"Monster42\r\n", "newline"},
		"too short":            {"1234567", "7 characters"},
		"too long":             {strings.Repeat("x", 256), "256 characters"},
		"begins like a flag":   {"-Monster42", "flag"},
		"begins like an arg":   {"+Monster42", "flag"},
		"has a space":          {"Monster 42", "character 8"},
		"has a quote":          {"Monster'42", "character 8"},
		"has a dollar":         {"Monster$(HOME)", "character 8"},
		"has a newline inside": {"Monster\n42", "character 8"},
		"is not ASCII":         {"Krümelmonster", "character 3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := naming.CheckCookie([]byte(test.cookie))
			switch {
			case test.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.says != "" && err == nil:
				t.Error("taken")
			case test.says != "" && !strings.Contains(err.Error(), test.says):
				t.Errorf("%q does not say %q", err, test.says)
			}
		})
	}
}

// The error about a cookie is written to status and events.
func TestCheckCookieDoesNotRevealIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Z]{4,8}`).Draw(t, "secret")
		before := rapid.SampledFrom([]string{"", "-", "+", " "}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"\n", " ", "ü", strings.Repeat("x", 300), ""}).Draw(t, "after")
		if err := naming.CheckCookie([]byte(before + secret + after)); err != nil && strings.Contains(err.Error(), secret) {
			t.Fatalf("the error contains the cookie: %v", err)
		}
	})
}

func TestGeneratedCookiesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]byte(naming.CookieAlphabet)),
			naming.GeneratedCookieLength, naming.GeneratedCookieLength).Draw(t, "cookie")
		if err := naming.CheckCookie(letters); err != nil {
			t.Fatalf("a generated cookie is refused: %v", err)
		}
	})
}
