package charttest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

var services = []string{"catalog", "identity", "inventory", "orders", "payments", "receipts"}

// pod is what one workload runs.
type pod struct {
	object
	component string
	meta      metav1.ObjectMeta // of the pods
	spec      corev1.PodSpec
}

func (p pod) isService() bool        { return slices.Contains(services, p.component) }
func (p pod) serves() bool           { return p.isService() || p.component == "gateway" }
func (p pod) main() corev1.Container { return p.spec.Containers[0] }

// identity is who the pod is on NATS; helm test's pod asks the gateway only.
func (p pod) identity() string {
	return map[string]string{"streams": "operator", "test": ""}[p.component] + map[bool]string{true: p.component}[p.serves()]
}

func (p pod) flag(name string) (string, bool) {
	for _, arg := range p.main().Args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func pods(t *testing.T, all []object) []pod {
	t.Helper()
	var found []pod
	for _, o := range all {
		var template corev1.PodTemplateSpec
		switch typed := o.Object.(type) {
		case *appsv1.Deployment:
			template = typed.Spec.Template
		case *appsv1.StatefulSet:
			template = typed.Spec.Template
		case *batchv1.Job:
			template = typed.Spec.Template
		default:
			continue
		}
		if len(template.Spec.Containers) != 1 || len(template.Spec.InitContainers) > 0 {
			t.Fatalf("%s: these tests look at one container", o)
		}
		found = append(found, pod{o, template.Labels["app.kubernetes.io/component"], template.ObjectMeta, template.Spec})
	}
	return found
}

func forEachPod(t *testing.T, test func(t *testing.T, values map[string]any, p pod)) {
	forEachSet(t, func(t *testing.T, values map[string]any, all []object) {
		for _, p := range pods(t, all) {
			t.Run(p.component, func(t *testing.T) { test(t, values, p) })
		}
	})
}

func TestPodsAreRestricted(t *testing.T) {
	// What the API server's own admission runs for namespaces of this level.
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		for _, result := range evaluator.EvaluatePod(level, &p.meta, &p.spec) {
			if !result.Allowed {
				t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		// More than the level asks.
		for what, ok := range map[string]bool{
			"a read-only root":             deref(p.main().SecurityContext.ReadOnlyRootFilesystem),
			"the image's user":             deref(p.spec.SecurityContext.RunAsUser) == 65532 && deref(p.spec.SecurityContext.RunAsGroup) == 65532,
			"a group that may read keys":   deref(p.spec.SecurityContext.FSGroup) == 65532,
			"no token":                     p.spec.AutomountServiceAccountToken != nil && !*p.spec.AutomountServiceAccountToken,
			"no other services' addresses": p.spec.EnableServiceLinks != nil && !*p.spec.EnableServiceLinks,
			"no shell":                     p.main().Command == nil,
		} {
			if !ok {
				t.Errorf("wants %s", what)
			}
		}
	})
}

func deref[T any](p *T) T {
	var none T
	if p == nil {
		return none
	}
	return *p
}

func TestPodsSayWhatTheyNeed(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		r := p.main().Resources
		if r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
			t.Errorf("has no requests of CPU and memory, or no limit of memory: %v", r)
		}
		if r.Requests.Memory().Cmp(*r.Limits.Memory()) > 0 {
			t.Errorf("asks for more memory than it may use: %v", r)
		}
	})
}

func TestImages(t *testing.T) {
	c, err := loadChart()
	if err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"default":    "ghcr.io/lonja/lonja:" + c.Metadata.AppVersion,
		"existing":   "registry.example:5000/team/lonja:v1.2.3-rc.1",
		"everything": "ghcr.io/lonja/lonja@sha256:0123456789012345678901234567890123456789012345678901234567890123",
	} {
		for _, p := range pods(t, objects(t, "shop", readValues(t, sets[set]))) {
			if p.main().Image != want {
				t.Errorf("%s: %s runs %s, want %s", set, p, p.main().Image, want)
			}
		}
	}
}

func TestProbes(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		c := p.main()
		if !p.serves() {
			if c.StartupProbe != nil || c.LivenessProbe != nil || c.ReadinessProbe != nil {
				t.Error("a Job serves nothing that a probe could ask")
			}
			return
		}
		// A gateway that asked for the whole shop would go with any service that is away.
		ready := map[bool]string{true: "/readyz/gateway", false: "/readyz"}[p.component == "gateway"]
		for path, probe := range map[string][]*corev1.Probe{"/healthz": {c.StartupProbe, c.LivenessProbe}, ready: {c.ReadinessProbe}} {
			for _, probe := range probe {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "http" {
					t.Errorf("wants a probe of %s, has %v", path, probe)
				}
			}
		}
		if len(c.Ports) != 1 || c.Ports[0].Name != "http" || c.Ports[0].ContainerPort != 8080 {
			t.Errorf("ports %v", c.Ports)
		}
		if listens, _ := p.flag("http"); listens != ":8080" {
			t.Errorf("listens on %q, and its probes ask 8080", listens)
		}
	})
}

func TestPodsGoGracefully(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		if !p.serves() {
			return
		}
		grace := time.Duration(deref(p.spec.TerminationGracePeriodSeconds)) * time.Second
		enough := 15 * time.Second
		if p.component == "gateway" {
			value, _ := p.flag("drain")
			drain, err := time.ParseDuration(value)
			if err != nil || drain < 10*time.Second {
				t.Errorf("--drain=%s: load balancers need longer to take a gateway out", value)
			}
			enough = drain + 5*time.Second // what is then under way takes four
			if d := p.Object.(*appsv1.Deployment); d.Spec.Strategy.RollingUpdate.MaxUnavailable.String() != "0" {
				t.Errorf("a roll may take away what still serves: %v", d.Spec.Strategy)
			}
		}
		if grace < enough {
			t.Errorf("is killed after %v, needs %v", grace, enough)
		}
	})
}

// A replica's name is its pod's, and becomes a part of NATS subjects and paths.
func TestReplicasAreNamedAfterTheirPods(t *testing.T) {
	token := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	for _, release := range []string{"shop", "my.dotted.release", strings.Repeat("very-long-", 5) + "x"} {
		for _, p := range pods(t, objects(t, release, nil)) {
			if !p.isService() {
				continue
			}
			// A StatefulSet's name and ten letters of revision are a label of at most 63.
			if name := fmt.Sprintf("%s-%d", p.GetName(), 99); !token.MatchString(name) || len(p.GetName()) > 52 {
				t.Errorf("release %s: replica %q", release, name)
			}
			env := p.main().Env[0]
			if value, _ := p.flag("replica"); value != "$(POD_NAME)" || env.Name != "POD_NAME" || env.ValueFrom.FieldRef.FieldPath != "metadata.name" {
				t.Errorf("--replica=%s, and %v", value, env)
			}
		}
	}
}

func TestServicesKeepTheirViews(t *testing.T) {
	forEachSet(t, func(t *testing.T, _ map[string]any, all []object) {
		for _, p := range pods(t, all) {
			if !p.isService() {
				continue
			}
			if value, _ := p.flag("data"); value != "/data" || !mounts(p, "views", "/data") || !mounts(p, "tmp", "/tmp") {
				t.Errorf("%s: --data=%s, mounts %v", p, value, p.main().VolumeMounts)
			}
			// On a volume of its own, unless the values say that it may be built anew each time.
			set, kept := p.Object.(*appsv1.StatefulSet), false
			for _, v := range p.spec.Volumes {
				if v.Name == "views" {
					kept = v.EmptyDir != nil
				}
			}
			for _, claim := range set.Spec.VolumeClaimTemplates {
				kept = kept != (claim.Name == "views" && !claim.Spec.Resources.Requests.Storage().IsZero())
			}
			if !kept {
				t.Errorf("%s: where are its views? %v, %v", p, set.Spec.VolumeClaimTemplates, p.spec.Volumes)
			}
		}
	})
}

// What a service says for itself holds for it, and for no other.
func TestServicesMayDifferFromTheDefaults(t *testing.T) {
	for _, p := range pods(t, objects(t, "shop", readValues(t, sets["everything"]))) {
		if !p.isService() {
			continue
		}
		set, size := p.Object.(*appsv1.StatefulSet), "none"
		for _, claim := range set.Spec.VolumeClaimTemplates {
			size = claim.Spec.Resources.Requests.Storage().String()
		}
		limits := p.main().Resources.Limits
		got := fmt.Sprint(*set.Spec.Replicas, " ", size, " ", *p.spec.TerminationGracePeriodSeconds, " ", limits.Memory(), " ", limits.Cpu())
		want := map[string]string{"orders": "3 20Gi 60 512Mi 0", "payments": "2 none 30 1Gi 2"}[p.component]
		if want == "" {
			want = "2 2Gi 30 512Mi 0"
		}
		if got != want {
			t.Errorf("%s: replicas, volume, grace and limits are %s, want %s", p, got, want)
		}
	}
}

func mounts(p pod, volume, path string) bool {
	for _, m := range p.main().VolumeMounts {
		if m.Name == volume && m.MountPath == path {
			return !m.ReadOnly
		}
	}
	return false
}
