package harness

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Steps of a creation, as they follow each other.
var Steps = []string{
	"certificates issued", "pods created", "pods run", "nodes up", "probe runs", "probe has the Lease",
	"nodes verified", "mesh whole", "readiness gates open", "pods Ready", "ErlangCluster Ready",
}

// Creation is what happens in a namespace from some moment on, by the watches of its objects: the
// objects themselves have times in whole seconds.
type Creation struct {
	namespace string
	begun     time.Time
	stop      context.CancelFunc
	ended     sync.WaitGroup

	mutex sync.Mutex
	seen  map[[2]string]bool // step and object
	last  map[string]time.Duration
}

// watched has for each kind the steps that an object of it has reached, and of what.
var watched = map[schema.GroupVersionResource]func(object *unstructured.Unstructured) (steps [][2]string){
	{Version: "v1", Resource: "secrets"}:                                            stepsOfSecret,
	{Version: "v1", Resource: "pods"}:                                               stepsOfPod,
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}:               stepsOfLease,
	{Group: "erlang-operator.dev", Version: "v1alpha1", Resource: "erlangclusters"}: stepsOfCluster,
}

// FollowCreation begins to watch, until the test ends.
func FollowCreation(t testing.TB, namespace string) *Creation {
	t.Helper()
	config := Must(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig())(t)
	client := Must(dynamic.NewForConfig(config))(t)
	ctx, stop := context.WithCancel(t.Context())
	c := &Creation{namespace: namespace, stop: stop, seen: map[[2]string]bool{}, last: map[string]time.Duration{}}
	t.Cleanup(func() { stop(); c.ended.Wait() })
	for resource, stepsOf := range watched {
		objects := Must(client.Resource(resource).Namespace(namespace).Watch(ctx, metav1.ListOptions{}))(t)
		c.ended.Go(func() { c.follow(objects, stepsOf) })
	}
	c.begun = time.Now()
	return c
}

func (c *Creation) follow(objects watch.Interface, stepsOf func(*unstructured.Unstructured) [][2]string) {
	for event := range objects.ResultChan() {
		if object, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted {
			for _, step := range stepsOf(object) {
				c.reached(step, time.Now())
			}
		}
	}
}

func (c *Creation) reached(step [2]string, at time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.seen[step] {
		c.seen[step] = true
		c.last[step[0]] = max(c.last[step[0]], at.Sub(c.begun))
	}
}

// Last is how long it took until a step was reached by the last that did.
func (c *Creation) Last(step string) time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.last[step]
}

// AwaitBoots waits until nodes have printed PrintBoot, and takes it for the step "nodes up".
func (c *Creation) AwaitBoots(t testing.TB, members int) {
	t.Helper()
	for ordinal := range members {
		pod := fmt.Sprintf("chat-%d", ordinal)
		await.Until(t, time.Minute, pod+" is up", func(ctx context.Context) error {
			log, err := kubectl.Run(ctx, "logs", pod, "-n", c.namespace)
			if err != nil {
				return err
			}
			at := printedBoot.FindStringSubmatch(log)
			if at == nil {
				return fmt.Errorf("its log is %q", log)
			}
			milliseconds, err := strconv.ParseInt(at[1], 10, 64)
			c.reached([2]string{"nodes up", pod}, time.UnixMilli(milliseconds))
			return err
		})
	}
}

// PrintBoot is an expression with which a node prints when it is up.
const PrintBoot = `io:format("up ~b~n", [erlang:system_time(millisecond)]).`

var (
	printedBoot = regexp.MustCompile(`(?m)^up (\d+)$`)
	memberName  = regexp.MustCompile(`-\d+$`)
)

func stepsOfSecret(secret *unstructured.Unstructured) [][2]string {
	if kind, _, _ := unstructured.NestedString(secret.Object, "type"); kind != "kubernetes.io/tls" {
		return nil
	}
	return [][2]string{{"certificates issued", secret.GetName()}}
}

func stepsOfPod(pod *unstructured.Unstructured) (steps [][2]string) {
	name := pod.GetName()
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	switch {
	case !memberName.MatchString(name) && phase == "Running":
		return [][2]string{{"probe runs", name}}
	case !memberName.MatchString(name):
		return nil
	}
	steps = append(steps, [2]string{"pods created", name})
	if phase == "Running" {
		steps = append(steps, [2]string{"pods run", name})
	}
	for step, condition := range map[string]string{"readiness gates open": v1alpha1.ReadinessGate, "pods Ready": "Ready"} {
		if isTrue(pod, condition) {
			steps = append(steps, [2]string{step, name})
		}
	}
	return steps
}

func stepsOfLease(lease *unstructured.Unstructured) [][2]string {
	return [][2]string{{"probe has the Lease", lease.GetName()}}
}

func stepsOfCluster(cluster *unstructured.Unstructured) (steps [][2]string) {
	nodes, _, _ := unstructured.NestedSlice(cluster.Object, "status", "mesh", "nodes")
	for _, each := range nodes {
		if node, ok := each.(map[string]any); ok && node["reason"] == v1alpha1.ReasonVerified {
			steps = append(steps, [2]string{"nodes verified", fmt.Sprint(node["pod"])})
		}
	}
	links, _, _ := unstructured.NestedInt64(cluster.Object, "status", "mesh", "links")
	if n := int64(len(nodes)); n > 1 && links == n*(n-1)/2 {
		steps = append(steps, [2]string{"mesh whole", ""})
	}
	if isTrue(cluster, v1alpha1.ConditionReady) {
		steps = append(steps, [2]string{"ErlangCluster Ready", ""})
	}
	return steps
}

func isTrue(object *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(each any) bool {
		condition, ok := each.(map[string]any)
		return ok && condition["type"] == kind && condition["status"] == "True"
	})
}
