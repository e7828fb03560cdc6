// Package charttest checks charts/ without a cluster: it renders the chart with
// several sets of values, as Helm does, and looks at what would be sent.
package charttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../charts/lonja"

// sets are the values that the chart is rendered with.
var sets = map[string]string{
	"default":    "",
	"production": chartDir + "/values-production.yaml",
	"everything": "testdata/everything.yaml",
	"existing":   "testdata/existing.yaml",
	"bare":       "testdata/bare.yaml",
}

// counts say how many objects of a kind each set makes, so that no other test
// holds only because there was nothing to look at.
var counts = map[string]map[string]int{
	"default": {"ServiceAccount": 9, "Service": 7, "Deployment": 1, "StatefulSet": 6, "Job": 2, "NetworkPolicy": 9},
	"production": {"ServiceAccount": 9, "Service": 7, "Deployment": 1, "StatefulSet": 6, "Job": 2, "NetworkPolicy": 9,
		"PodDisruptionBudget": 7, "HorizontalPodAutoscaler": 1},
	"everything": {"ServiceAccount": 9, "Service": 7, "Deployment": 1, "StatefulSet": 6, "Job": 2, "NetworkPolicy": 9,
		"PodDisruptionBudget": 7, "HorizontalPodAutoscaler": 1, "Secret": 9, "Ingress": 1, "HTTPRoute": 1, "ServiceMonitor": 1},
	"existing": {"ServiceAccount": 9, "Service": 7, "Deployment": 1, "StatefulSet": 6, "Job": 2, "NetworkPolicy": 9, "PodDisruptionBudget": 1},
	"bare":     {"ServiceAccount": 8, "Service": 7, "Deployment": 1, "StatefulSet": 6, "Job": 1},
}

// kinds are what the chart may make. An object is decoded strictly: a field that
// its type does not have, or has twice, is an error.
var kinds = map[string]func() metav1.Object{
	"v1/Secret":                               func() metav1.Object { return &corev1.Secret{} },
	"v1/Service":                              func() metav1.Object { return &corev1.Service{} },
	"v1/ServiceAccount":                       func() metav1.Object { return &corev1.ServiceAccount{} },
	"apps/v1/Deployment":                      func() metav1.Object { return &appsv1.Deployment{} },
	"apps/v1/StatefulSet":                     func() metav1.Object { return &appsv1.StatefulSet{} },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() metav1.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"batch/v1/Job":                            func() metav1.Object { return &batchv1.Job{} },
	"policy/v1/PodDisruptionBudget":           func() metav1.Object { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1/Ingress":            func() metav1.Object { return &networkingv1.Ingress{} },
	"networking.k8s.io/v1/NetworkPolicy":      func() metav1.Object { return &networkingv1.NetworkPolicy{} },
	"gateway.networking.k8s.io/v1/HTTPRoute":  func() metav1.Object { return &gatewayv1.HTTPRoute{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() metav1.Object { return &monitoringv1.ServiceMonitor{} },
}

// object is one that Helm would send.
type object struct {
	metav1.Object
	kind string
	text string
}

func (o object) String() string { return o.kind + " " + o.GetName() }

// hook is the event on which Helm makes the object, or nothing for an ordinary one.
func (o object) hook() string { return o.GetAnnotations()["helm.sh/hook"] }

var loadChart = sync.OnceValues(func() (*chart.Chart, error) { return loader.LoadDir(chartDir) })

// render is what helm template does.
func render(release string, values map[string]any) (map[string]string, error) {
	c, err := loadChart()
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: release, Namespace: "market", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.RenderWithContext(context.Background(), c, all)
}

// upgrade is what helm upgrade does where these workloads are there.
func upgrade(values map[string]any, there []object) (map[string]string, error) {
	c, err := loadChart()
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "shop", Namespace: "market", Revision: 2, IsUpgrade: true}, nil)
	if err != nil {
		return nil, err
	}
	live := cluster{}
	for _, o := range there {
		if o.kind != "Deployment" && o.kind != "StatefulSet" {
			continue
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{Object: fields}
		u.SetNamespace("market")
		live = append(live, u)
	}
	return engine.RenderWithClientProvider(c, all, live)
}

// cluster is one in which there are these workloads, for the chart's lookup.
type cluster []runtime.Object

func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	resources := map[string]string{"apps/v1 Deployment": "deployments", "apps/v1 StatefulSet": "statefulsets"}
	name, ok := resources[apiVersion+" "+kind]
	if !ok {
		return nil, false, fmt.Errorf("the chart looks for a %s of %s, of which no test knows", kind, apiVersion)
	}
	client := fake.NewSimpleDynamicClient(runtime.NewScheme(), c...)
	return client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: name}), true, nil
}

// objects renders and decodes.
func objects(t *testing.T, release string, values map[string]any) []object {
	t.Helper()
	files, err := render(release, values)
	if err != nil {
		t.Fatal(err)
	}
	var found []object
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if strings.Contains(files[file], "<no value>") || strings.Contains(files[file], "%!") {
			t.Errorf("%s has a hole:\n%s", file, files[file])
		}
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[file])))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(bytes.TrimSpace(doc)) > 0 {
				found = append(found, decode(t, file, doc))
			}
		}
	}
	return found
}

func decode(t *testing.T, file string, doc []byte) object {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &meta); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	make, ok := kinds[meta.APIVersion+"/"+meta.Kind]
	if !ok {
		t.Fatalf("%s makes a %s of %s, of which no test knows", file, meta.Kind, meta.APIVersion)
	}
	o := make()
	if err := unmarshal(doc, o); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	return object{o, meta.Kind, string(doc)}
}

// unmarshal is as strict as the API server: also about the case of names, which
// encoding/json is not.
func unmarshal(text []byte, into any) error {
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}

func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if file == "" {
		return values
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// forEachSet runs a test with every set's objects.
func forEachSet(t *testing.T, test func(t *testing.T, values map[string]any, all []object)) {
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		t.Run(set, func(t *testing.T) {
			values := readValues(t, sets[set])
			test(t, values, objects(t, "shop", values))
		})
	}
}

// of picks the objects of one type.
func of[T metav1.Object](all []object) []T {
	var found []T
	for _, o := range all {
		if typed, ok := o.Object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func TestEachSetMakesWhatItShould(t *testing.T) {
	for set := range sets {
		got, names := map[string]int{}, map[string]bool{}
		for _, o := range objects(t, "shop", readValues(t, sets[set])) {
			got[o.kind]++
			if names[o.String()] {
				t.Errorf("%s: there are two of %s", set, o)
			}
			names[o.String()] = true
			if o.GetNamespace() != "" {
				t.Errorf("%s: %s names a namespace; Helm's -n says which", set, o)
			}
			if o.GetLabels()["app.kubernetes.io/instance"] != "shop" || o.GetLabels()["helm.sh/chart"] == "" {
				t.Errorf("%s: %s lacks the common labels", set, o)
			}
		}
		if !maps.Equal(got, counts[set]) {
			t.Errorf("%s: made %v, want %v", set, got, counts[set])
		}
	}
}

func TestLint(t *testing.T) {
	for set, file := range sets {
		result := lint.RunAll(chartDir, readValues(t, file), "market")
		for _, m := range result.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", set, m)
			}
		}
	}
	// What the linter calls mere information, but for the icon, which we have none of.
	result := lint.RunAll(chartDir, nil, "market")
	for _, m := range result.Messages {
		if !strings.Contains(m.Error(), "icon is recommended") {
			t.Errorf("%v", m)
		}
	}
}

func TestNotesTellWhatMatters(t *testing.T) {
	for set, want := range map[string][]string{
		"default":    {"helm test shop -n market", "port-forward", "grep ^admin", "without a key", "one replica"},
		"production": {"in Secret lonja-admin"},
		"everything": {"https://shop.example/docs", "as in admin.password"},
		"bare":       {"lonja streams apply"},
	} {
		files, err := render("shop", readValues(t, sets[set]))
		if err != nil {
			t.Fatal(err)
		}
		notes := files[filepath.Join("lonja", "templates", "NOTES.txt")]
		for _, text := range want {
			if !strings.Contains(notes, text) {
				t.Errorf("%s: the notes do not say %q:\n%s", set, text, notes)
			}
		}
		if set == "production" && strings.Contains(notes, "Warning:") {
			t.Errorf("the notes warn of production's values:\n%s", notes)
		}
		if strings.Contains(notes, "horse") {
			t.Errorf("%s: the notes tell the password", set)
		}
	}
}
