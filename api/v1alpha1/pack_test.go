package v1alpha1

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A packed object is decoded as it was before, errors included, and its spec and status are
// not kept decoded.
func TestPack(t *testing.T) {
	must := func(text string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, text := range map[string]string{
		"decodable":        "{kind: ErlangCluster, metadata: {name: chat, generation: 3}, spec: {replicas: 2, tls: {delivery: Secret}, template: {spec: {containers: [{name: chat}]}}}, status: {nodes: 2/2, mesh: {links: 1, components: 1, nodes: [{pod: chat-0}]}}}",
		"without a status": "{metadata: {name: chat}, spec: {replicas: 2}}",
		"undecodable spec": "{metadata: {name: chat}, spec: {replicas: many}, status: {nodes: 1/1, mesh: {links: 1}}}",
		"undecodable mesh": "{metadata: {name: chat}, spec: {replicas: 2}, status: {nodes: 1/1, mesh: {links: many}}}",
		"no map as status": "{metadata: {name: chat}, spec: {replicas: 2}, status: many}",
	} {
		want, wantErr := Decode(object(t, text))
		packed := object(t, text)
		delivery, mesh := StringField(packed, "spec.tls.delivery"), must(Mesh(packed))
		for range 2 { // Once more changes nothing.
			if err := Pack(packed, "spec.tls.delivery", "spec.tls.issuerRef.name"); err != nil {
				t.Fatal(err)
			}
		}
		if packed.Object["spec"] != nil || packed.Object["status"] != nil || packed.GetName() != "chat" {
			t.Errorf("%s: packed it is %v", name, packed.Object)
		}
		if got := StringField(packed, "spec.tls.delivery"); got != delivery {
			t.Errorf("%s: the delivery is %q, before %q", name, got, delivery)
		}
		if got := must(Mesh(packed)); got != mesh {
			t.Errorf("%s: the mesh is %q, before %q", name, got, mesh)
		}
		got, err := Decode(packed.DeepCopy())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if undecodable, wanted := (*DecodeError)(nil), (*DecodeError)(nil); errors.As(wantErr, &wanted) != errors.As(err, &undecodable) ||
			wanted != nil && wanted.Error() != undecodable.Error() {
			t.Errorf("%s: error %v, want %v", name, err, wantErr)
		}
	}
}
