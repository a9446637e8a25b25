package envtest

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestInvalidSpecsAreRejected(t *testing.T) {
	namespace := newNamespace(t)
	tests := map[string]struct{ patch, message string }{
		"ports reversed":                  {`spec: {distribution: {ports: {min: 9200, max: 9100}}}`, "distribution.ports.min must not be greater than distribution.ports.max"},
		"ports that end before 9100":      {`spec: {distribution: {ports: {max: 9050}}}`, "it is 9100 when it is left out"},
		"epmd's port among the ten":       {`spec: {distribution: {ports: {min: 4360}}}`, "must not include 4369, the port of epmd"},
		"too many ports for Istio":        {`spec: {distribution: {serviceMesh: Istio, ports: {min: 9000, max: 10000}}}`, "at most 1000 with serviceMesh Istio"},
		"another service mesh":            {`spec: {distribution: {serviceMesh: Consul}}`, "spec.distribution.serviceMesh"},
		"a toleration of no kind":         {`spec: {probe: {tolerations: [{keys: a}]}}`, `unknown field "spec.probe.tolerations[0].keys"`},
		"too large a limit of the probe":  {`spec: {probe: {resources: {limits: {memory: 1e999999999999}}}}`, "spec.probe.resources.limits.memory"},
		"a port too low":                  {`spec: {distribution: {ports: {min: 80}}}`, "spec.distribution.ports.min"},
		"a port too high":                 {`spec: {distribution: {ports: {max: 70000}}}`, "spec.distribution.ports.max"},
		"epmd's port among them":          {`spec: {distribution: {ports: {min: 4000, max: 5000}}}`, "must not include 4369, the port of epmd"},
		"the cookie that is written":      {`spec: {cookie: {secretKeyRef: {name: chat-cookie}}}`, "cookie.secretKeyRef must not name the Secret <cluster>-cookie"},
		"no member that may be away":      {`spec: {rollout: {maxUnavailable: 0}}`, "rollout.maxUnavailable must be a number from 1 to 100, or a percentage"},
		"no percentage":                   {`spec: {rollout: {maxUnavailable: some}}`, "rollout.maxUnavailable must be a number from 1 to 100, or a percentage"},
		"a partition below 0":             {`spec: {rollout: {partition: -1}}`, "spec.rollout.partition"},
		"an unknown family":               {`spec: {distribution: {ipFamily: IPv5}}`, "spec.distribution.ipFamily"},
		"an unknown runtime":              {`spec: {runtime: Elixir}`, "spec.runtime"},
		"unknown visitors":                {`spec: {visitors: "Off"}`, "spec.visitors"},
		"an unknown formation":            {`spec: {distribution: {formation: Peers}}`, "spec.distribution.formation"},
		"a buffer too small":              {`spec: {distribution: {socket: {buffer: 1000}}}`, "distribution.socket.buffer must be a whole number of bytes from 1Ki to 16Mi"},
		"a buffer too large":              {`spec: {distribution: {socket: {buffer: 1Gi}}}`, "distribution.socket.buffer must be"},
		"a buffer beyond all bounds":      {`spec: {distribution: {socket: {buffer: "1e-2147483647"}}}`, "spec.distribution.socket.buffer"},
		"no buffer at all":                {`spec: {distribution: {socket: {buffer: big}}}`, "spec.distribution.socket.buffer"},
		"an unknown discovery":            {`spec: {distribution: {discovery: DNS}}`, "spec.distribution.discovery"},
		"a basename with an @":            {`spec: {distribution: {nodeBasename: chat@home}}`, "spec.distribution.nodeBasename"},
		"a basename too long":             {`spec: {distribution: {nodeBasename: ` + strings.Repeat("b", 41) + `}}`, "spec.distribution.nodeBasename"},
		"a name too long":                 {`metadata: {name: ` + strings.Repeat("c", 41) + `}`, "metadata.name must be a DNS label of at most 40 characters"},
		"a name with a dot":               {`metadata: {name: chat.eu}`, "has no dot"},
		"a name that begins with a digit": {`metadata: {name: 3chat}`, "begins with a letter"},
		"no container of that name":       {`spec: {container: proxy}`, "container must name one of template.spec.containers"},
		"no container at all":             {`spec: {template: {spec: {containers: []}}}`, "must have the container that runs the BEAM"},
		"no pod spec":                     {`spec: {template: {spec: null}}`, "template.spec.containers must have the container that runs the BEAM"},
		"an empty pod spec":               {`spec: {template: {spec: {containers: null, hostNetwork: false}}}`, "spec.template.spec.containers: Required value"},
		"a container without a pod spec":  {`spec: {container: chat, template: {spec: null}}`, "template.spec.containers must have the container that runs the BEAM"},
		"no spec":                         {`spec: null`, "spec: Required value"},
		"no template":                     {`spec: {template: null}`, "spec.template: Required value"},
		"the host's network":              {`spec: {template: {spec: {hostNetwork: true}}}`, "template.spec.hostNetwork must not be true"},
		"a host name":                     {`spec: {template: {spec: {hostname: chat}}}`, "the StatefulSet gives each node its host name"},
		"a subdomain":                     {`spec: {template: {spec: {subdomain: chat}}}`, "the StatefulSet gives each node its host name"},
		"the FQDN as host name":           {`spec: {template: {spec: {setHostnameAsFQDN: true}}}`, "the StatefulSet gives each node its host name"},
		"a restart policy":                {`spec: {template: {spec: {restartPolicy: Never}}}`, "template.spec.restartPolicy must be Always"},
		"too many nodes":                  {`spec: {replicas: 101}`, "less than or equal to 100"},
		"less than none":                  {`spec: {replicas: -1}`, "greater than or equal to 0"},
		"renewal after expiry":            {`spec: {tls: {certificate: {duration: 100h, renewBefore: 100h}}}`, "renewBefore must be at least 5m shorter than"},
		"renewal at once":                 {`spec: {tls: {certificate: {duration: 1h, renewBefore: 59m59s}}}`, "renewBefore must be at least 5m shorter than"},
		"a leaf that outlives its CA":     {`spec: {tls: {certificate: {duration: 200h, renewBefore: 1h}, ca: {duration: 100h}}}`, "a certificate cannot outlive its CA"},
		"a leaf nearly as long as its CA": {`spec: {tls: {certificate: {duration: 100h, renewBefore: 1h}, ca: {duration: 199h}}}`, "at least twice tls.certificate.duration"},
		"too short a certificate":         {`spec: {tls: {certificate: {duration: 30m, renewBefore: 10m}}}`, "at least 1h"},
		"renewed too late":                {`spec: {tls: {certificate: {renewBefore: 1m}}}`, "renewBefore at least 5m"},
		"too short a CA":                  {`spec: {tls: {certificate: {duration: 1h, renewBefore: 10m}, ca: {duration: 30m}}}`, "tls.ca.duration must be at least 1h"},
		"an unknown delivery":             {`spec: {tls: {delivery: ConfigMap}}`, "spec.tls.delivery"},
		"a rotation of no private CA":     {`spec: {tls: {issuerRef: {name: corp}, ca: {rotationID: "1"}}}`, "tls.ca.rotationID is for the private CA"},
		"an empty rotation of the CA":     {`spec: {tls: {ca: {rotationID: ""}}}`, "spec.tls.ca.rotationID"},
		"a rotation of the CA in words":   {`spec: {tls: {ca: {rotationID: "next year"}}}`, "spec.tls.ca.rotationID"},
		"days":                            {`spec: {tls: {certificate: {duration: 30d}}}`, "spec.tls.certificate.duration"},
		"a duration beyond all bounds":    {`spec: {tls: {ca: {duration: 9999999999999999h}}}`, "spec.tls"},
		"a cookie's Secret without name":  {`spec: {cookie: {secretKeyRef: {key: cookie}}}`, "spec.cookie.secretKeyRef.name"},
		"an issuer without name":          {`spec: {tls: {issuerRef: {kind: Issuer}}}`, "spec.tls.issuerRef.name"},
		"an issuer of another kind":       {`spec: {tls: {issuerRef: {name: corp, kind: Secret}}}`, "tls.issuerRef.kind must be Issuer or ClusterIssuer"},
		"a ClusterIssuer misspelt":        {`spec: {tls: {issuerRef: {name: corp, kind: Clusterissuer}}}`, "tls.issuerRef.kind must be Issuer or ClusterIssuer"},
		"an external issuer, no group":    {`spec: {tls: {issuerRef: {name: corp, kind: VaultIssuer}}}`, "set tls.issuerRef.group"},
		"a policy between the two":        {`spec: {networkPolicy: {mode: Maybe}}`, "spec.networkPolicy.mode"},
		"no claims, but a list of them":   {`spec: {volumeClaimTemplates: []}`, "spec.volumeClaimTemplates"},
		"a port beyond int32":             {`spec: {template: {spec: {containers: [{name: chat, livenessProbe: {httpGet: {port: 99999999999}}}]}}}`, "livenessProbe.httpGet.port"},
		"a fraction as exponent":          {`spec: {template: {spec: {containers: [{name: chat, resources: {limits: {cpu: 1e1.5}}}]}}}`, "resources.limits.cpu"},
		"an exponent beyond all bounds":   {`spec: {volumeClaimTemplates: [{spec: {resources: {requests: {storage: 1e99999999999999999999}}}}]}`, "requests.storage"},
		"the status of a claim":           {`spec: {volumeClaimTemplates: [{status: {phase: Bound}}]}`, `unknown field "spec.volumeClaimTemplates[0].status"`},
		"a field that does not exist":     {`spec: {replica: 3}`, `unknown field "spec.replica"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := admin.Create(t.Context(), merged(t, object(t, namespace, minimal), test.patch),
				client.DryRunAll, client.FieldValidation("Strict"))
			switch {
			case err == nil:
				t.Error("accepted")
			case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
				t.Errorf("not rejected as invalid: %v", err)
			case !strings.Contains(err.Error(), test.message):
				t.Errorf("rejected with %q, want %q in it", err, test.message)
			case strings.Contains(err.Error(), "no such key"):
				t.Errorf("rejected with %q: a rule does not expect a field to be left out", err)
			}
		})
	}
}

func TestValidSpecsAreAccepted(t *testing.T) {
	namespace := newNamespace(t)
	for name, patch := range map[string]string{
		"the minimal one":          `{}`,
		"no node":                  `spec: {replicas: 0}`,
		"as many as there may be":  `spec: {replicas: 100}`,
		"the longest names":        `{metadata: {name: ` + strings.Repeat("c", 40) + `}, spec: {distribution: {nodeBasename: ` + strings.Repeat("B", 40) + `}}}`,
		"the shortest name":        `metadata: {name: c}`,
		"ports right below epmd":   `spec: {distribution: {ports: {min: 4300, max: 4368}}}`,
		"ten ports below epmd":     `spec: {distribution: {ports: {min: 4359}}}`,
		"ports from 9200":          `spec: {distribution: {ports: {min: 9200}}}`,
		"ports to 9200":            `spec: {distribution: {ports: {max: 9200}}}`,
		"the last port":            `spec: {distribution: {ports: {min: 65535}}}`,
		"another fixed port":       `spec: {distribution: {discovery: FixedPort, ports: {min: 9200}}}`,
		"ports right above epmd":   `spec: {distribution: {ports: {min: 4370, max: 4370}}}`,
		"a rollout":                `spec: {rollout: {maxUnavailable: 25%, paused: true, partition: 2}}`,
		"a buffer":                 `spec: {distribution: {socket: {buffer: 256Ki}}}`,
		"a buffer in bytes":        `spec: {distribution: {socket: {buffer: 65536}}}`,
		"nodes on IPv6":            `spec: {distribution: {ipFamily: IPv6}}`,
		"a fixed port":             `spec: {distribution: {discovery: FixedPort, ports: {min: 9100, max: 9100}}}`,
		"hostNetwork false":        `spec: {template: {spec: {hostNetwork: false}}}`,
		"restartPolicy Always":     `spec: {template: {spec: {restartPolicy: Always}}}`,
		"a container by name":      `spec: {container: chat}`,
		"a duration alone":         `spec: {tls: {certificate: {duration: 24h}}}`,
		"durations of two parts":   `spec: {tls: {certificate: {duration: 1h30m, renewBefore: 10m30s}}}`,
		"a CA of twice its leaves": `spec: {tls: {certificate: {duration: 100h, renewBefore: 1h}, ca: {duration: 200h}}}`,
		"a CA that is not asked":   `spec: {tls: {issuerRef: {name: corp}, certificate: {duration: 100000h}}}`,
		"an own cookie":            `spec: {cookie: {secretKeyRef: {name: legacy}}}`,
		"a rotated CA":             `spec: {tls: {ca: {rotationID: 2026-11.a_B}}}`,
		"a shared issuer":          `spec: {tls: {issuerRef: {kind: ClusterIssuer, name: corp}}}`,
		"an external issuer":       `spec: {tls: {issuerRef: {name: corp, kind: VaultIssuer, group: vault.example.com}}}`,
		"keys that stay":           `spec: {tls: {delivery: PodCertificate}}`,
		"claims":                   `spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}`,
		"empty structures":         `spec: {distribution: {ports: {}}, cookie: {}, tls: {certificate: {}, ca: {}}}`,
		"empty structures below":   `spec: {distribution: {}, tls: {}}`,
		"a sidecar":                `spec: {template: {spec: {initContainers: [{name: sidecar, image: x, restartPolicy: Always}]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := admin.Create(t.Context(), merged(t, object(t, namespace, minimal), patch),
				client.DryRunAll, client.FieldValidation("Strict")); err != nil {
				t.Errorf("rejected: %v", err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	namespace := newNamespace(t)
	cluster := merged(t, object(t, namespace, minimal), `spec: {replicas: null}`)
	check(t, admin.Create(t.Context(), cluster, client.DryRunAll))
	for path, want := range map[string]any{
		"spec.replicas":                 int64(1),
		"spec.runtime":                  "Erl",
		"spec.visitors":                 "Managed",
		"spec.distribution.discovery":   "EPMD",
		"spec.distribution.ipFamily":    "IPv4",
		"spec.distribution.ports.min":   int64(9100),
		"spec.tls.certificate.duration": "720h",
		"spec.tls.ca.duration":          "87600h",
		"spec.tls.delivery":             "Secret",
		"spec.networkPolicy.mode":       "Managed",
		"spec.rollout.maxUnavailable":   int64(1),
		"spec.podDisruptionBudget.mode": "Managed",
		"status.observedGeneration":     int64(-1),
	} {
		got, found, err := unstructured.NestedFieldNoCopy(cluster.Object, strings.Split(path, ".")...)
		if err != nil || !found || got != want {
			t.Errorf("%s is %v (found: %t, %v), want %v", path, got, found, err, want)
		}
	}
	// It follows min.
	if got, found, _ := unstructured.NestedFieldNoCopy(cluster.Object, "spec", "distribution", "ports", "max"); found {
		t.Errorf("spec.distribution.ports.max has the default %v: then min alone could not be raised above it", got)
	}
}

// A change of an immutable field is rejected, in whichever way it is made; other changes
// are accepted.
func TestUpdates(t *testing.T) {
	const fixed = `spec: {distribution: {nodeBasename: talk, discovery: FixedPort, ports: {min: 9100, max: 9100}}}`
	const claims = `spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}`
	tests := map[string]struct{ before, change, message string }{
		"another basename":         {fixed, `spec: {distribution: {nodeBasename: chat}}`, "distribution.nodeBasename cannot be changed"},
		"no basename any more":     {fixed, `spec: {distribution: {nodeBasename: null}}`, "distribution.nodeBasename cannot be added or removed"},
		"a basename now":           {`{}`, `spec: {distribution: {nodeBasename: talk}}`, "distribution.nodeBasename cannot be added or removed"},
		"no distribution any more": {fixed, `spec: {distribution: null}`, "cannot be"},
		"another family":           {minimal, `spec: {distribution: {ipFamily: IPv6}}`, "distribution.ipFamily cannot be changed"},
		"another discovery":        {fixed, `spec: {distribution: {discovery: EPMD}}`, "distribution.discovery cannot be changed"},
		"no discovery any more":    {fixed, `spec: {distribution: {discovery: null}}`, "distribution.discovery cannot be changed"},
		"another fixed port":       {fixed, `spec: {distribution: {ports: {min: 9099}}}`, "distribution.ports.min cannot be changed"},
		"no fixed port any more":   {fixed, `spec: {distribution: {ports: null}}`, ""}, // the default is the same port
		"another claim":            {claims, `spec: {volumeClaimTemplates: [{metadata: {name: other}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}`, "volumeClaimTemplates cannot be changed"},
		"a larger claim":           {claims, `spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}]}`, "volumeClaimTemplates cannot be changed"},
		"no claims any more":       {claims, `spec: {volumeClaimTemplates: null}`, "volumeClaimTemplates cannot be added or removed"},
		"claims now":               {`{}`, claims, "volumeClaimTemplates cannot be added or removed"},
		"more nodes":               {fixed, `spec: {replicas: 7}`, ""},
		"the same claim again":     {claims, claims, ""},
		"only the first port":      {`{}`, `spec: {distribution: {ports: {min: 9200}}}`, ""},
		"other ports of epmd":      {`{}`, `spec: {distribution: {ports: {min: 9200, max: 9300}}}`, ""},
		"another template":         {fixed, `spec: {template: {spec: {containers: [{name: chat, image: x}]}}}`, ""},
		"an issuer now":            {`{}`, `spec: {tls: {issuerRef: {name: corp}}}`, ""},
		"other durations":          {`{}`, `spec: {tls: {certificate: {duration: 100h, renewBefore: 10h}}}`, ""},
		"another delivery":         {`{}`, `spec: {tls: {delivery: PodCertificate}}`, ""},
		"another policy":           {`{}`, `spec: {networkPolicy: {mode: Unmanaged}}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cluster := merged(t, object(t, newNamespace(t), minimal), test.before)
			create(t, cluster)
			// As if applied from a manifest: a field that is left out is removed.
			changed := merged(t, merged(t, object(t, cluster.GetNamespace(), minimal), test.before), test.change)
			changed.SetResourceVersion(cluster.GetResourceVersion())
			err := admin.Update(t.Context(), changed, client.DryRunAll)
			switch {
			case test.message == "" && err != nil:
				t.Errorf("rejected: %v", err)
			case test.message != "" && err == nil:
				t.Error("accepted")
			case test.message != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.message)):
				t.Errorf("rejected with %q, want %q in it", err, test.message)
			}
		})
	}
}
