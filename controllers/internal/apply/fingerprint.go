package apply

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/erlang-operator/erlang-operator/certs/memo"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// fingerprintOf is of the fields of an object that the manager has applied, as the managed
// fields name them, with their values as they are now. To apply a configuration with the same
// fingerprint would change nothing: neither a value, nor whose it is. So a manager that has
// just started knows what it need not apply. Empty when the manager has applied nothing.
func fingerprintOf(object metav1.Object) string {
	entries := object.GetManagedFields()
	applied := slices.IndexFunc(entries, isOwnApply)
	if applied < 0 || entries[applied].FieldsV1 == nil {
		return ""
	}
	fields := entries[applied].FieldsV1.GetRawBytes()
	if len(fields) > maxFieldsV1 {
		return ""
	}
	key := versionOf(object, fields)
	fingerprint, known := fingerprints.Get(key)
	if !known {
		fingerprint = fingerprintOfFields(object, fields)
		fingerprints.Put(key, fingerprint)
	}
	return fingerprint
}

// maxFieldsV1 is more than the managed fields of any object of ours have. Whoever may create objects
// in some namespace can have theirs look like ours.
const maxFieldsV1 = 64 << 10

// fingerprints are remembered, because others write the status of an object again and again: those
// of the objects of some 200 clusters that are created at once.
var fingerprints = memo.Memo[string]{Size: 4096}

// versionOf is another when some field of an object is, but for its status.
func versionOf(object metav1.Object, fields []byte) memo.Key {
	metadata, _ := json.Marshal([]any{object.GetAnnotations(), object.GetOwnerReferences()}) // They always have a JSON form.
	return memo.KeyOf([]byte(stampOf(object)), metadata, fields)
}

func fingerprintOfFields(object metav1.Object, text []byte) string {
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return ""
	}
	// The managed fields are most of an object, and not of the content.
	entries := object.GetManagedFields()
	object.SetManagedFields(nil)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	object.SetManagedFields(entries)
	if err != nil {
		return ""
	}
	return fingerprint(part(content, fields))
}

func isOwnApply(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
}

// appliedFingerprint is that of an object to which a configuration was applied.
func appliedFingerprint(configuration plan.Configuration) string {
	var content map[string]any
	if text, err := json.Marshal(configuration); err != nil || json.Unmarshal(text, &content) != nil {
		return "" // To apply it tells what is wrong.
	}
	// These tell which object it is, and nobody owns them.
	delete(content, "apiVersion")
	delete(content, "kind")
	if metadata, ok := content["metadata"].(map[string]any); ok {
		for _, name := range []string{"name", "namespace", "uid", "resourceVersion"} {
			delete(metadata, name)
		}
	}
	return fingerprint(content)
}

// fingerprint is of a value, whose maps JSON sorts by their keys.
func fingerprint(content any) string {
	text, err := json.Marshal(withoutDefaults(content))
	if err != nil {
		return ""
	}
	return shortDigest(text)
}

// part is what these fields are of a value: fieldsV1 of metav1.FieldsV1. A field with none
// below it is there as a whole.
func part(value any, fields map[string]any) any {
	switch value := value.(type) {
	case map[string]any:
		if !hasFieldsBelow(fields) {
			return value
		}
		some := map[string]any{}
		for name, there := range value {
			if below, ok := fields["f:"+name]; ok {
				some[name] = part(there, asFields(below))
			}
		}
		return some
	case []any:
		if !hasFieldsBelow(fields) {
			return value
		}
		return items(value, fields)
	}
	return value
}

// items are those of a list that the fields name by their keys or their values.
func items(list []any, fields map[string]any) []any {
	below, keys := byItem(fields)
	some := []any{}
	for _, item := range list {
		names := canonical(item)
		if content, isMap := item.(map[string]any); isMap {
			names = canonical(kept(content, keys))
		}
		if fields, ok := below[names]; ok {
			some = append(some, part(item, fields))
		}
	}
	return some
}

// byItem are the fields below those of a list, by the values of the keys of an item, or by the item,
// and the names of all keys.
func byItem(fields map[string]any) (below map[string]map[string]any, keys map[string]any) {
	below, keys = map[string]map[string]any{}, map[string]any{}
	for field, fieldsBelow := range fields {
		kind, text, _ := strings.Cut(field, ":")
		var named any
		if kind != "k" && kind != "v" || json.Unmarshal([]byte(text), &named) != nil {
			continue
		}
		if kind == "k" {
			maps.Copy(keys, asFields(named))
		}
		below[canonical(named)] = asFields(fieldsBelow)
	}
	return below, keys
}

// canonical is the same for equal values, of which one may have its numbers as integers.
func canonical(value any) string {
	text, _ := json.Marshal(value) // It comes from JSON.
	return string(text)
}

func kept(content, names map[string]any) map[string]any {
	some := map[string]any{}
	for name, value := range content {
		if _, ok := names[name]; ok {
			some[name] = value
		}
	}
	return some
}

func asFields(below any) map[string]any {
	fields, _ := below.(map[string]any)
	return fields
}

// hasFieldsBelow: "." stands for the field itself.
func hasFieldsBelow(fields map[string]any) bool {
	_, itself := fields["."]
	return len(fields) > 1 || len(fields) == 1 && !itself
}

// defaults are what the API server adds within fields that are applied as a whole, by the
// names of the fields or, in a list, of its items.
var defaults = map[string]map[string]any{
	"fieldRef":             {"apiVersion": "v1"},
	"resourceFieldRef":     {"divisor": "0"},
	"fileKeyRef":           {"optional": false},
	"podCertificate":       {"maxExpirationSeconds": 86400},
	"ports":                {"protocol": "TCP"},
	"serviceAccountToken":  {"expirationSeconds": 3600},
	"spec":                 {"volumeMode": "Filesystem"},
	"volumeClaimTemplates": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": map[string]any{"phase": "Pending"}},
}

// withoutDefaults is a copy of a value that has none of them, whoever has set them.
func withoutDefaults(value any) any { return without(value, nil) }

func without(value any, added map[string]any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(value))
		for name, below := range value {
			if byDefault, ok := added[name]; !ok || canonical(below) != canonical(byDefault) {
				copied[name] = without(below, defaults[name])
			}
		}
		return copied
	case []any:
		copied := make([]any, 0, len(value))
		for _, item := range value {
			copied = append(copied, without(item, added))
		}
		return copied
	}
	return value
}
