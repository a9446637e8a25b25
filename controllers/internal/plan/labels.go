package plan

import (
	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

const (
	// LabelCluster is the name of the ErlangCluster.
	LabelCluster = naming.LabelCluster
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
func Labels(cluster string) map[string]string { return naming.Labels(cluster) }

// Selector selects the pods of one component of a cluster.
func Selector(cluster, component string) map[string]string {
	return map[string]string{LabelCluster: cluster, LabelComponent: component}
}
