package envtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers"
	"github.com/erlang-operator/erlang-operator/test/controlplane"
)

const (
	memberIdentity = "erlang-operator-member-identity"
	placeholder    = "erlang-operator-admission-policy-missing"
)

// podIdentity is what gives each pod its own certificate in these tests: $POD_IDENTITY, or
// the policy where this Kubernetes has it.
var podIdentity controllers.PodIdentity

// served is what this Kubernetes has.
var served controllers.Served

// policyObjects and webhookObjects are all that give pods their certificates.
func policyObjects() []client.Object {
	return []client.Object{
		&admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: memberIdentity}},
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: memberIdentity}},
	}
}

func webhookObjects() []client.Object {
	return []client.Object{&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: memberIdentity}}}
}

func admissionObjects() []client.Object {
	if podIdentity == controllers.ByWebhook {
		return webhookObjects()
	}
	return policyObjects()
}

// discover finds out what this Kubernetes has, and chooses by what pods get certificates.
func discover() (err error) {
	if served, err = controllers.Discover(environment.Config); err != nil {
		return err
	}
	podIdentity = controllers.ByPolicy
	if !served.AdmissionPolicies {
		podIdentity = controllers.ByWebhook
	}
	if chosen := os.Getenv("POD_IDENTITY"); chosen != "" {
		return podIdentity.Set(chosen)
	}
	return nil
}

// installAdmission has pods get their certificates, and waits until they do.
func installAdmission(t *testing.T) {
	t.Helper()
	check(t, applyAdmission(context.Background(), podIdentity))
	awaitAdmission(t, "trial-tls")
}

// applyAdmission installs the policy, or the webhook.
func applyAdmission(ctx context.Context, by controllers.PodIdentity) error {
	if by == controllers.ByPolicy {
		return applyFile(ctx, "config/admission/member_identity.yaml")
	}
	objects, err := objectsOf("config/webhook/configuration.yaml")
	if err != nil {
		return err
	}
	webhooks, _, err := unstructured.NestedSlice(objects[0].Object, "webhooks")
	if err != nil {
		return err
	}
	// There is no network of Services here.
	webhook := webhooks[0].(map[string]any)
	path, _, _ := unstructured.NestedString(webhook, "clientConfig", "service", "path")
	webhook["clientConfig"] = map[string]any{"url": "https://" + identityWebhook.address + path}
	if err := unstructured.SetNestedSlice(objects[0].Object, webhooks, "webhooks"); err != nil {
		return err
	}
	return admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(objects[0]), client.FieldOwner("install"), client.ForceOwnership)
}

func remove(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		check(t, client.IgnoreNotFound(admin.Delete(context.Background(), object)))
	}
}

// withoutAdmission calls do while pods do not get their certificates.
func withoutAdmission(t *testing.T, do func()) {
	t.Helper()
	remove(t, admissionObjects()[0])
	defer installAdmission(t)
	awaitAdmission(t, placeholder)
	do()
}

// awaitAdmission waits until a pod called trial would mount that Secret.
func awaitAdmission(t *testing.T, want string) {
	t.Helper()
	eventually(t, "what gives pods their certificates takes or loses effect", func(ctx context.Context) error {
		return tryAdmission(ctx, want)
	})
}

// tryAdmission returns an error unless a pod called trial would mount that Secret.
func tryAdmission(ctx context.Context, want string) error {
	trial := member("trial")
	if err := admin.Create(ctx, trial, client.DryRunAll); err != nil {
		return err
	}
	if got := trial.Spec.Volumes[0].Secret.SecretName; got != want {
		return fmt.Errorf("a pod mounts %s", got)
	}
	return nil
}

// member is a pod as admission recognizes it.
func member(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{
			"erlang-operator.dev/component": "node", "erlang-operator.dev/cluster": "trial"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "trial", Image: "trial"}},
			Volumes: []corev1.Volume{{Name: "erlang-operator-tls", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: placeholder}}}},
		},
	}
}

// A webhookReplica is a manager that serves the webhook and never leads, because somebody
// else holds its Lease.
type webhookReplica struct {
	address string
	certDir string
	command *exec.Cmd
}

var identityWebhook webhookReplica

// prepare has cert-manager issue the certificate of the webhook.
func (w *webhookReplica) prepare(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	w.address, w.certDir = fmt.Sprintf("127.0.0.1:%d", port), filepath.Join(scratch, "webhook")
	if err := admin.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "erlang-operator-system", Name: "erlang-operator.erlang-operator.dev"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("the tests"), LeaseDurationSeconds: ptr.To(int32(86400)),
			RenewTime: ptr.To(metav1.NowMicro())},
	}); err != nil {
		return err
	}
	objects, err := objectsOf("config/webhook/certificate.yaml")
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetName() == "erlang-operator-webhook" {
			if err := unstructured.SetNestedStringSlice(object.Object, []string{"127.0.0.1"}, "spec", "ipAddresses"); err != nil {
				return err
			}
		}
		if err := admin.Create(ctx, object); err != nil {
			return err
		}
	}
	return w.store(ctx)
}

// store writes the issued certificate where a kubelet would.
func (w *webhookReplica) store(ctx context.Context) error {
	secret := &corev1.Secret{ObjectMeta: named("erlang-operator-system", "erlang-operator-webhook-tls")}
	if err := retryUntil(ctx, controlplane.StartLimit, func() error { return admin.Get(ctx, client.ObjectKeyFromObject(secret), secret) }); err != nil {
		return err
	}
	for name, content := range secret.Data {
		if err := errors.Join(os.MkdirAll(w.certDir, 0o700), os.WriteFile(filepath.Join(w.certDir, name), content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// start returns once the webhook is served.
func (w *webhookReplica) start(ctx context.Context) error {
	kubeconfig, err := kubeconfigOf("webhook", "system:masters")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(scratch, "webhook.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	_, port, _ := strings.Cut(w.address, ":")
	w.command = exec.Command(operatorProgram, "manager", "--pod-identity=Webhook", "--webhook-port="+port, "--webhook-cert-dir="+w.certDir,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--probe-image=x")
	w.command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "POD_NAMESPACE=erlang-operator-system")
	w.command.Stdout, w.command.Stderr = log, log
	w.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.command.Start(); err != nil {
		return err
	}
	return retryUntil(ctx, controlplane.StartLimit, func() error {
		connection, err := net.Dial("tcp", w.address)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, tail(log.Name(), 20))
		}
		return connection.Close()
	})
}

func (w *webhookReplica) stop() {
	if w.command != nil {
		_ = w.command.Process.Kill()
		_ = w.command.Wait()
		w.command = nil
	}
}

// retryUntil tries again until there is no error, or the last one is returned.
func retryUntil(ctx context.Context, timeout time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freePort is a port that is free, and most likely still will be when a program listens on it: it is below
// those that the kernel gives to whoever asks for any, as the nodes of tests beside these do.
func freePort() (int, error) {
	const lowest, highest = 20000, 29999
	for {
		port := lowest + rand.IntN(highest-lowest+1)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return port, listener.Close()
	}
}

// identityFlags are the flags by which a manager of a test agrees with the installation.
func identityFlags(t *testing.T) []string {
	t.Helper()
	if podIdentity == controllers.ByPolicy {
		return nil
	}
	port := must(freePort())(t)
	return []string{"--pod-identity=Webhook", fmt.Sprintf("--webhook-port=%d", port), "--webhook-cert-dir=" + identityWebhook.certDir}
}
