package envtest

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The manager is killed after its second write, the next one after its fourth, and so on,
// until one has nothing left to write.
func TestManagerKilledDuringCreation(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	cookie, kills := "", 0
	for writes := 2; killAfterWrites(t, namespace, writes); writes += 2 {
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
	if kills < 8 {
		t.Errorf("the manager was killed only %d times", kills)
	}
	t.Logf("killed %d times", kills)
	awaitRecovery(t, namespace)
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	startProbe(t, namespace).report(t, wholeMesh(namespace, pods))
	awaitReady(t, namespace)
}

// killAfterWrites runs a manager and kills it after so many writes. It reports whether
// there were as many before the manager became quiet.
func killAfterWrites(t *testing.T, namespace string, writes int) bool {
	t.Helper()
	log := requestsOf(t, managerAccount)
	m := startManager(t)
	done, quiet := 0, time.Time{}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, r := range must(log.next())(t) {
			quiet = time.Now()
			if r.ObjectRef.Namespace == namespace && r.Verb != "get" && r.Verb != "list" && r.ObjectRef.Resource != "events" {
				done++
			}
		}
		switch {
		case done >= writes:
			m.kill(t)
			return true
		case !quiet.IsZero() && time.Since(quiet) > 4*time.Second:
			return false
		}
	}
	t.Fatal("the manager neither wrote enough nor became quiet")
	return false
}
