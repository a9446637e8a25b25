package plan

// dependencies are the kinds of objects without which one of a kind must not be applied:
// an object of somebody else's in their place would lend it an identity, sign its
// certificates or be mounted by it.
var dependencies = map[string][]string{
	"Issuer":      {"Certificate", "Issuer"},
	"Certificate": {"Issuer"},
	"StatefulSet": {"Service", "ConfigMap", "Secret"},
	"RoleBinding": {"Role", "ServiceAccount"},
	"Deployment":  {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret"},
}

// Dependencies are the kinds whose objects must have been applied before those of a kind.
func Dependencies(kind string) []string { return dependencies[kind] }

// BeforeDeletion are the kinds whose objects must have been applied before any is deleted.
func BeforeDeletion() []string {
	return []string{"Issuer", "Certificate", "ConfigMap", "Secret", "StatefulSet"}
}
