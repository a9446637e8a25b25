package envtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/controllers"
	certmanager "github.com/erlang-operator/erlang-operator/hack/certmanager/controllers"
	"github.com/erlang-operator/erlang-operator/test/controlplane"
)

// managerAccount is the manager's ServiceAccount in config/rbac.
const managerAccount = "system:serviceaccount:erlang-operator-system:erlang-operator-manager"

// Set by TestMain, for all tests.
var (
	scheme = runtime.NewScheme()
	// environment is the API server and etcd.
	environment *envtest.Environment
	// admin has all permissions.
	admin client.Client
	// operatorProgram is the manager's program.
	operatorProgram string
	// auditLog is where the API server logs every request.
	auditLog string
	// certManagerCRDs is the directory of cert-manager's CRDs.
	certManagerCRDs string
	// stopCertManager stops cert-manager's controllers.
	stopCertManager func() error
	// scratch is a directory that is removed after the tests.
	scratch string
)

func run(m *testing.M) (code int, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 1, errors.New("KUBEBUILDER_ASSETS is not set: run `make test-envtest`, which builds kube-apiserver and etcd and sets it")
	}
	if scratch, err = os.MkdirTemp("", "erlang-operator-envtest-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	// cert-manager's controllers run in this process, and log much: errors, too, which klog writes to stderr
	// unless it has a logger.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	if operatorProgram, err = buildOperator(); err != nil {
		return 1, err
	}
	for _, add := range []func(*runtime.Scheme) error{controllers.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return 1, err
		}
	}
	stop, err := startControlPlane()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := install(); err != nil {
		return 1, err
	}
	if stopCertManager, err = startCertManager(); err != nil {
		return 1, err
	}
	stopCertManager = sync.OnceValue(stopCertManager)
	defer func() { err = errors.Join(err, stopCertManager()) }()
	if err := startAdmission(); err != nil {
		return 1, err
	}
	defer identityWebhook.stop()
	return m.Run(), nil
}

func buildOperator() (string, error) {
	program := filepath.Join(scratch, "erlang-operator")
	build := exec.Command("go", "build", "-o", program, "./cmd/erlang-operator")
	build.Dir = repository()
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the manager: %w\n%s", err, output)
	}
	return program, nil
}

// repository is the root of this repository: tests run in their package's
// directory.
func repository() string {
	directory, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return directory
}

// auditPolicy logs the requests without their contents.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
`

func startControlPlane() (stop func() error, err error) {
	if certManagerCRDs, err = prepareCRDs(); err != nil {
		return nil, err
	}
	policy := filepath.Join(scratch, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	auditLog = filepath.Join(scratch, "audit.log")
	// A log that is rotated could not be read on.
	if environment, err = startEnvironment("audit-policy-file", policy,
		"audit-log-path", auditLog, "audit-log-mode", "blocking", "audit-log-maxsize", "100000"); err != nil {
		return nil, err
	}
	if admin, err = client.New(environment.Config, client.Options{Scheme: scheme}); err != nil {
		return nil, errors.Join(err, environment.Stop())
	}
	return environment.Stop, nil
}

// install installs what config/default would, except the manager's pod.
func install() error {
	ctx := context.Background()
	if err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "erlang-operator-system"}}); err != nil {
		return err
	}
	for _, file := range []string{"config/rbac/role.yaml", "config/rbac/role_binding.yaml"} {
		if err := applyFile(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// startAdmission has pods get their certificates as config/default or config/webhook would.
func startAdmission() error {
	ctx := context.Background()
	if err := discover(); err != nil {
		return err
	}
	if podIdentity == controllers.ByWebhook {
		if err := errors.Join(identityWebhook.prepare(ctx), identityWebhook.start(ctx)); err != nil {
			return fmt.Errorf("start the webhook: %w", err)
		}
	}
	if err := applyAdmission(ctx, podIdentity); err != nil {
		return err
	}
	return retryUntil(ctx, controlplane.StartLimit, func() error { return tryAdmission(ctx, "trial-tls") })
}

// applyFile applies the objects of a file of this repository.
func applyFile(ctx context.Context, name string) error {
	objects, err := objectsOf(name)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("install"), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s of %s: %w", object.GetKind(), name, err)
		}
	}
	return nil
}

func objectsOf(name string) ([]*unstructured.Unstructured, error) {
	file, err := os.Open(filepath.Join(repository(), name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return decoded(name, file)
}

// decoded are the objects of a file.
func decoded(name string, file io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); err != nil {
			if strings.Contains(err.Error(), "EOF") {
				return objects, nil
			}
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// prepareCRDs returns the directory of the CRDs of the cert-manager that runs. Those of 1.18
// have labels that are templates of its chart.
func prepareCRDs() (string, error) {
	from := os.Getenv("CERT_MANAGER_CRDS")
	if from == "" {
		return moduleFile("github.com/cert-manager/cert-manager", "deploy/crds")
	}
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return "", fmt.Errorf("CERT_MANAGER_CRDS=%s: %w", from, err)
	}
	if len(files) == 0 {
		return "", fmt.Errorf("CERT_MANAGER_CRDS=%s has no CRDs", from)
	}
	to := filepath.Join(scratch, "certmanager-crds")
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		plain := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool { return strings.Contains(line, "{{") })
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), []byte(strings.Join(plain, "")), 0o600); err != nil {
			return "", err
		}
	}
	return to, nil
}

// startProgram runs a program until it is stopped.
func startProgram(program string, args ...string) (stop func() error, err error) {
	log, err := os.Create(filepath.Join(scratch, filepath.Base(program)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return func() error {
		err := command.Process.Signal(syscall.SIGTERM)
		return errors.Join(err, command.Wait())
	}, nil
}

// startCertManager runs cert-manager's controllers in this process, or the program that
// CERT_MANAGER names, of another version.
func startCertManager() (stop func() error, err error) {
	kubeconfig, err := kubeconfigOf("cert-manager", "system:masters")
	if err != nil {
		return nil, err
	}
	if program := os.Getenv("CERT_MANAGER"); program != "" {
		return startProgram(program, "--kubeconfig="+kubeconfig)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- certmanager.Run(ctx, certmanager.Options{Kubeconfig: kubeconfig, ClusterResourceNamespace: "kube-system"})
	}()
	return func() error {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("cert-manager: %w", err)
		}
		return nil
	}, nil
}

// configOf is a client configuration with the identity of a user.
func configOf(name string, groups ...string) (*rest.Config, error) {
	user, err := environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: 1000, Burst: 1000})
	if err != nil {
		return nil, fmt.Errorf("make user %s: %w", name, err)
	}
	return user.Config(), nil
}

// kubeconfigOf is configOf as a file.
func kubeconfigOf(name string, groups ...string) (string, error) {
	user, err := environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: 1000, Burst: 1000})
	if err != nil {
		return "", fmt.Errorf("make user %s: %w", name, err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("kubeconfig of user %s: %w", name, err)
	}
	file := filepath.Join(scratch, strings.ReplaceAll(name, ":", "-")+".kubeconfig")
	return file, os.WriteFile(file, text, 0o600)
}

// moduleFile is a file of a module that this one depends on.
func moduleFile(module, name string) (string, error) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	return filepath.Join(strings.TrimSpace(string(output)), name), nil
}
