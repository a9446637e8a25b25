package plan

import "github.com/erlang-operator/erlang-operator/api/v1alpha1"

// Labels that everything of a cluster carries. Selectors and caches use the ones of
// our own group, so that users may put what they like into the others.
const (
	// LabelCluster is the name of the ErlangCluster.
	LabelCluster = v1alpha1.Group + "/cluster"
	// LabelComponent distinguishes a node from the probe.
	LabelComponent = v1alpha1.Group + "/component"

	// ComponentNode runs the BEAM.
	ComponentNode = "node"
	// ComponentProbe proves the mesh.
	ComponentProbe = "probe"
)

// AnnotationClusterUID of the Secrets that cert-manager makes for a cluster's Certificates
// is the UID of the cluster: whose they were when nothing else shows it any more.
const AnnotationClusterUID = v1alpha1.Group + "/cluster-uid"

// Labels of the objects of a cluster.
func Labels(cluster string) map[string]string {
	return map[string]string{
		LabelCluster:                   cluster,
		"app.kubernetes.io/name":       "erlang",
		"app.kubernetes.io/instance":   cluster,
		"app.kubernetes.io/managed-by": "erlang-operator",
	}
}

// Selector selects the pods of one component of a cluster.
func Selector(cluster, component string) map[string]string {
	return map[string]string{LabelCluster: cluster, LabelComponent: component}
}
