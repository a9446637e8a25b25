package envtest

import (
	"testing"
	"time"

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
	if kills < 3 { // Each has written some more before it was dead.
		t.Errorf("the manager was killed only %d times", kills)
	}
	t.Logf("killed %d times", kills)
	awaitRecovery(t, namespace)
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	startProbe(t, namespace).report(t, wholeMesh(namespace, pods))
	awaitReady(t, namespace)
}

// killAtWrite runs a manager and kills it when it has written something. It reports whether
// it has before it became quiet.
func killAtWrite(t *testing.T, namespace string) bool {
	t.Helper()
	log := requestsOf(t, managerAccount)
	m := startManager(t)
	quiet := time.Time{}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, r := range must(log.next())(t) {
			quiet = time.Now()
			if r.ObjectRef.Namespace == namespace && r.Verb != "get" && r.Verb != "list" && r.ObjectRef.Resource != "events" {
				m.kill(t)
				return true
			}
		}
		if !quiet.IsZero() && time.Since(quiet) > 4*time.Second {
			return false
		}
	}
	t.Fatal("the manager neither wrote nor became quiet")
	return false
}
