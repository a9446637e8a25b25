package envtest

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The manager is killed at its first write, and so is the next one, until one has nothing left
// to write.
func TestManagerKilledDuringCreation(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	cookie, kills := "", 0
	for killAtWrite(t, namespace) {
		kills++
		secret := &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")}
		if there, err := exists(t.Context(), secret); err != nil {
			t.Fatal(err)
		} else if there {
			if now := string(secret.Data["cookie"]); cookie == "" {
				cookie = now
			} else if now != cookie {
				t.Fatalf("the cookie changed after kill %d", kills)
			}
		}
	}
	if t.Logf("killed %d times", kills); kills == 0 {
		t.Error("the manager was not killed")
	}
	awaitRecovery(t, namespace)
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	startProbe(t, namespace).becomeReady(t, pods)
}

// killAtWrite runs a manager and kills it when it has written something. It reports whether
// it has before everything was there and it became quiet.
func killAtWrite(t *testing.T, namespace string) bool {
	t.Helper()
	log := requestsOf(t, managerAccount)
	m := startManager(t)
	quiet := time.Time{}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, r := range must(log.next())(t) {
			quiet = time.Now()
			if r.ObjectRef.Namespace == namespace && r.Verb != "get" && r.Verb != "list" && r.ObjectRef.Resource != "events" {
				m.kill(t)
				return true
			}
		}
		if !quiet.IsZero() && time.Since(quiet) > 4*time.Second && isThere(t, namespace) {
			return false
		}
	}
	t.Fatal("the manager neither wrote nor became quiet")
	return false
}

// isThere reports whether the objects that are created last are there.
func isThere(t *testing.T, namespace string) bool {
	t.Helper()
	return must(exists(t.Context(), &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}))(t) &&
		must(exists(t.Context(), &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")}))(t)
}
