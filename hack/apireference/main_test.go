package main

import "testing"

func TestAsYAML(t *testing.T) {
	for printed, want := range map[string]string{
		"":             "{}",
		"mode:Managed": "{mode: Managed}",
		"ca:map[duration:87600h] delivery:Secret": "{ca: {duration: 87600h}, delivery: Secret}",
	} {
		if got, err := asYAML(printed); err != nil || got != want {
			t.Errorf("asYAML(%q) = %q, %v, want %q", printed, got, err, want)
		}
	}
	if _, err := asYAML("url:http://example.com:80"); err == nil {
		t.Error("a value with colons is taken for YAML")
	}
}
