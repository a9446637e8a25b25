package main

import "testing"

func TestProbeDefaultsAreStrict(t *testing.T) {
	for text, valid := range map[string]bool{
		"":                                   true,
		`{"labels":{"team":"red"}}`:          true,
		"tolerations: [{operator: Exists}]":  true,
		"toleration: [{operator: Exists}]":   false,
		"priorityClassName: {not: a string}": false,
	} {
		if _, err := parseProbeDefaults(text); (err == nil) != valid {
			t.Errorf("--probe-defaults=%s: %v", text, err)
		}
	}
}
