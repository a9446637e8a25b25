package envtest

import (
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// foreign are the fields below which the schema is Kubernetes' own.
var foreign = []string{"spec.template", "spec.volumeClaimTemplates", "spec.persistentVolumeClaimRetentionPolicy", "status.conditions",
	"spec.probe.resources", "spec.probe.tolerations", "spec.probe.affinity", "spec.probe.topologySpreadConstraints", "spec.probe.imagePullSecrets"}

// Every field has a description for `kubectl explain`, and bounds.
func TestSchemaIsDocumentedAndBounded(t *testing.T) {
	crd := get(t, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "erlangclusters.erlang-operator.dev"}})
	fields := 0
	walk(*crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(path string, schema apiextensionsv1.JSONSchemaProps) {
		if path == "" || path == "apiVersion" || path == "kind" || path == "metadata" {
			return
		}
		fields++
		problem := func(format string) { t.Errorf(format, path) }
		element := strings.HasSuffix(path, "[]")
		name := path[strings.LastIndex(path, ".")+1:]
		if !element {
			switch {
			case schema.Description == "":
				problem("%s has no description")
			case !strings.HasPrefix(schema.Description, name+" ") && !strings.HasPrefix(schema.Description, name+":"):
				problem("the description of %s does not begin with its name")
			case !strings.Contains(schema.Description, "."):
				problem("the description of %s is no sentence")
			}
		}
		switch schema.Type {
		case "array":
			if schema.XListType == nil {
				problem("%s is a list without a listType: server-side apply would replace it whole")
			}
			if schema.MaxItems == nil {
				problem("%s is a list without an end")
			}
		case "string":
			if schema.MaxLength == nil && len(schema.Enum) == 0 && schema.Format != "date-time" {
				problem("%s is a string without an end")
			}
		case "integer":
			if schema.Format == "" {
				problem("%s is an integer without a size")
			}
		case "number":
			problem("%s is a floating-point number, which does not survive every client")
		case "boolean":
			// suspend and paused are what users know from CronJob and Deployment.
			if !strings.HasSuffix(path, ".suspend") && !strings.HasSuffix(path, ".paused") && !strings.HasSuffix(path, ".formerCookie") {
				problem("%s is a boolean: an enum can grow")
			}
		}
	})
	if fields < 40 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

// A field is required, or has a default, or its description mentions that it is optional.
func TestRequiredFieldsHaveNoDefault(t *testing.T) {
	crd := get(t, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "erlangclusters.erlang-operator.dev"}})
	walk(*crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(path string, schema apiextensionsv1.JSONSchemaProps) {
		for _, required := range schema.Required {
			property := schema.Properties[required]
			if property.Default != nil {
				t.Errorf("%s.%s is required and has a default", path, required)
			}
		}
	})
}

func walk(schema apiextensionsv1.JSONSchemaProps, path string, visit func(string, apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	if slices.Contains(foreign, path) {
		return
	}
	for name, property := range schema.Properties {
		below := name
		if path != "" {
			below = path + "." + name
		}
		walk(property, below, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(*schema.Items.Schema, path+"[]", visit)
	}
}

func TestPrinterColumnsAndSubresources(t *testing.T) {
	crd := get(t, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "erlangclusters.erlang-operator.dev"}})
	var columns []string
	for _, column := range crd.Spec.Versions[0].AdditionalPrinterColumns {
		columns = append(columns, column.Name)
	}
	if want := []string{"Ready", "Nodes", "Links", "Certs-Expire", "Reason", "Age"}; !slices.Equal(columns, want) {
		t.Errorf("printer columns %v, want %v", columns, want)
	}
	if want := []string{"erl"}; !slices.Equal(crd.Spec.Names.ShortNames, want) {
		t.Errorf("short names %v, want %v", crd.Spec.Names.ShortNames, want)
	}
	// A client-side `kubectl apply` keeps the whole object in an annotation.
	text := must(objectsOf("config/crd/bases/erlang-operator.dev_erlangclusters.yaml"))(t)
	if encoded, err := text[0].MarshalJSON(); err != nil || len(encoded) > 256*1024 {
		t.Errorf("the CRD has %d bytes (%v), too many for the annotation of `kubectl apply`", len(encoded), err)
	}
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.NonStructuralSchema && condition.Status == apiextensionsv1.ConditionTrue {
			t.Errorf("the schema is not structural: %s", condition.Message)
		}
	}
}
