package charttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// matches tells what a selector finds among things with labels.
func matches(t *testing.T, s *metav1.LabelSelector, among map[string]map[string]string) []string {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() {
		t.Fatalf("selector %v: %v", s, err)
	}
	var found []string
	for name, has := range among {
		if selector.Matches(labels.Set(has)) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func among(t *testing.T, release string, all []object) (podLabels, serviceLabels map[string]map[string]string) {
	podLabels, serviceLabels = map[string]map[string]string{}, map[string]map[string]string{}
	for _, p := range pods(t, all) {
		podLabels[release+"/"+p.component] = p.meta.Labels
	}
	for _, s := range of[*corev1.Service](all) {
		serviceLabels[release+"/"+s.Labels["app.kubernetes.io/component"]] = s.Labels
	}
	return podLabels, serviceLabels
}

// Every selector finds the pods of its own component, and neither another's nor
// those of a second release beside it.
func TestSelectorsFindTheirOwnPodsOnly(t *testing.T) {
	forEachSet(t, func(t *testing.T, values map[string]any, all []object) {
		everyPod, everyService := among(t, "shop", all)
		values["fullnameOverride"] = "second"
		otherPods, otherServices := among(t, "other", objects(t, "other", values))
		for name, has := range otherPods {
			everyPod[name] = has
		}
		for name, has := range otherServices {
			everyService[name] = has
		}
		for _, o := range all {
			own := []string{"shop/" + o.GetLabels()["app.kubernetes.io/component"]}
			var selectors []*metav1.LabelSelector
			switch typed := o.Object.(type) {
			case *corev1.Service:
				selectors = append(selectors, &metav1.LabelSelector{MatchLabels: typed.Spec.Selector})
			case *appsv1.Deployment:
				selectors = append(selectors, typed.Spec.Selector)
				selectors = append(selectors, spread(t, o, typed.Spec.Template.Spec)...)
			case *appsv1.StatefulSet:
				selectors = append(selectors, typed.Spec.Selector)
				selectors = append(selectors, spread(t, o, typed.Spec.Template.Spec)...)
			case *policyv1.PodDisruptionBudget:
				selectors = append(selectors, typed.Spec.Selector)
			case *networkingv1.NetworkPolicy:
				selectors = append(selectors, &typed.Spec.PodSelector)
			case *monitoringv1.ServiceMonitor:
				want := []string{"shop/catalog", "shop/gateway", "shop/identity", "shop/inventory", "shop/orders", "shop/payments", "shop/receipts"}
				if got := matches(t, &typed.Spec.Selector, everyService); !slices.Equal(got, want) {
					t.Errorf("%s finds the Services %v", o, got)
				}
			}
			for _, selector := range selectors {
				if got := matches(t, selector, everyPod); !slices.Equal(got, own) {
					t.Errorf("%s finds %v, want %v", o, got, own)
				}
			}
		}
	})
}

func spread(t *testing.T, o object, spec corev1.PodSpec) []*metav1.LabelSelector {
	if len(spec.TopologySpreadConstraints) == 0 {
		t.Errorf("%s is not spread", o)
	}
	var found []*metav1.LabelSelector
	for _, c := range spec.TopologySpreadConstraints {
		found = append(found, c.LabelSelector)
		if (o.kind == "Deployment") != slices.Equal(c.MatchLabelKeys, []string{"pod-template-hash"}) {
			t.Errorf("%s: %v", o, c.MatchLabelKeys)
		}
	}
	return found
}

// What refers to another object by name refers to one that is there.
func TestReferencesLeadSomewhere(t *testing.T) {
	forEachSet(t, func(t *testing.T, _ map[string]any, all []object) {
		ports := map[string]bool{} // service:port and service:name of port
		named := map[string]object{}
		for _, s := range of[*corev1.Service](all) {
			for _, p := range s.Spec.Ports {
				ports[fmt.Sprintf("%s:%d", s.Name, p.Port)] = true
				if p.TargetPort.String() != "http" || p.Name != "http" {
					t.Errorf("Service %s leads to %v", s.Name, p)
				}
			}
		}
		for _, o := range all {
			named[o.String()] = o
		}
		for _, o := range all {
			switch typed := o.Object.(type) {
			case *appsv1.StatefulSet:
				if s, ok := named["Service "+typed.Spec.ServiceName].Object.(*corev1.Service); !ok || s.Spec.ClusterIP != corev1.ClusterIPNone {
					t.Errorf("%s: no headless Service %s", o, typed.Spec.ServiceName)
				}
			case *autoscalingv2.HorizontalPodAutoscaler:
				ref := typed.Spec.ScaleTargetRef
				d, ok := named[ref.Kind+" "+ref.Name].Object.(*appsv1.Deployment)
				if !ok || d.Spec.Replicas != nil {
					t.Errorf("%s: no %s %s that leaves its replicas to it", o, ref.Kind, ref.Name)
				}
			case *networkingv1.Ingress:
				for _, r := range typed.Spec.Rules {
					for _, p := range r.HTTP.Paths {
						if to := p.Backend.Service; !ports[fmt.Sprintf("%s:%d", to.Name, to.Port.Number)] {
							t.Errorf("%s leads to %v", o, to)
						}
						public(t, o, p.Path)
					}
				}
			case *gatewayv1.HTTPRoute:
				for _, r := range typed.Spec.Rules {
					for _, to := range r.BackendRefs {
						if !ports[fmt.Sprintf("%s:%d", to.Name, deref(to.Port))] {
							t.Errorf("%s leads to %v", o, to)
						}
					}
					for _, m := range r.Matches {
						public(t, o, *m.Path.Value)
					}
				}
			}
		}
		for _, p := range pods(t, all) {
			if p.component != "test" {
				continue
			}
			address := strings.TrimSuffix(strings.TrimPrefix(p.main().Args[1], "http://"), "/readyz")
			if !ports[address] {
				t.Errorf("helm test asks %s", p.main().Args[1])
			}
		}
	})
}

// public is what the world may reach: metrics and health are none of its business.
func public(t *testing.T, o object, path string) {
	t.Helper()
	for _, private := range []string{"/metrics", "/healthz", "/readyz", "/readyz/gateway"} {
		if private == path || strings.HasPrefix(private, strings.TrimSuffix(path, "/")+"/") {
			t.Errorf("%s lets the world in at %s", o, path)
		}
	}
}

// Where there are several, all but one stay when nodes are drained; where there
// is one, a budget would only hold the node up.
func TestBudgets(t *testing.T) {
	forEachSet(t, func(t *testing.T, _ map[string]any, all []object) {
		budgets := map[string]bool{}
		for _, b := range of[*policyv1.PodDisruptionBudget](all) {
			budgets[b.Name] = b.Spec.MaxUnavailable.String() == "1" && deref(b.Spec.UnhealthyPodEvictionPolicy) == policyv1.AlwaysAllow
		}
		replicas := map[string]int32{}
		for _, s := range of[*appsv1.StatefulSet](all) {
			replicas[s.Name] = deref(s.Spec.Replicas)
		}
		for _, d := range of[*appsv1.Deployment](all) {
			replicas[d.Name] = deref(d.Spec.Replicas)
		}
		for _, h := range of[*autoscalingv2.HorizontalPodAutoscaler](all) {
			replicas[h.Name] = deref(h.Spec.MinReplicas)
		}
		for name, n := range replicas {
			if n < 1 || budgets[name] != (n > 1) {
				t.Errorf("%s has %d replicas; a budget: %v", name, n, budgets[name])
			}
		}
	})
}
