package charttest

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// ends are the ports that a rule lets through, as TCP/4222, sorted.
func ends(ports []networkingv1.NetworkPolicyPort) []string {
	var found []string
	for _, p := range ports {
		found = append(found, string(deref(p.Protocol))+"/"+p.Port.String())
	}
	slices.Sort(found)
	return found
}

// Each pod is under one policy, which names both directions: what it does not
// list is closed.
func TestPoliciesLetThroughWhatIsNeeded(t *testing.T) {
	nats := map[string][]string{
		"default": {"TCP/4222"}, "production": {"TCP/4222"}, "existing": {"TCP/4222"},
		"everything": {"TCP/4222", "TCP/4333"},
	}
	dns := map[string][]string{"everything": {"TCP/53", "TCP/5353", "UDP/53", "UDP/5353"}}
	for set, natsPorts := range nats {
		policies := map[string]*networkingv1.NetworkPolicy{}
		all := objects(t, "shop", readValues(t, sets[set]))
		for _, p := range of[*networkingv1.NetworkPolicy](all) {
			policies[p.Labels["app.kubernetes.io/component"]] = p
		}
		dnsPorts := dns[set]
		if dnsPorts == nil {
			dnsPorts = []string{"TCP/53", "UDP/53"}
		}
		for _, p := range pods(t, all) {
			policy := policies[p.component]
			if policy == nil || !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}) {
				t.Fatalf("%s: %s has no policy for both directions", set, p)
			}
			in, out := policy.Spec.Ingress, policy.Spec.Egress
			if p.serves() != (len(in) == 1) || p.serves() && !slices.Equal(ends(in[0].Ports), []string{"TCP/8080"}) {
				t.Errorf("%s: %s lets in %v", set, p, in)
			}
			want := [][]string{natsPorts, dnsPorts}
			if p.component == "test" {
				want[0] = []string{"TCP/8080"}
			}
			if set == "everything" && p.serves() {
				want = append(want, []string{"TCP/443"})
			}
			var got [][]string
			for _, rule := range out {
				got = append(got, ends(rule.Ports))
			}
			if !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%s: %s lets out %v, want %v", set, p, got, want)
			}
		}
	}
}

// Whoever is named may come, and with them helm test's pod, which nobody names.
func TestPoliciesKeepToTheirPeers(t *testing.T) {
	all := objects(t, "shop", readValues(t, sets["everything"]))
	everyPod, _ := among(t, "shop", all)
	for _, p := range of[*networkingv1.NetworkPolicy](all) {
		component := p.Labels["app.kubernetes.io/component"]
		from := map[string]int{"gateway": 3, "streams": 0, "test": 0}
		for _, s := range services {
			from[s] = 1
		}
		if len(p.Spec.Ingress) > 0 && len(p.Spec.Ingress[0].From) != from[component] || len(p.Spec.Ingress) == 0 && from[component] > 0 {
			t.Errorf("%s lets in from %v", p.Name, p.Spec.Ingress)
			continue
		}
		if component == "gateway" {
			last := p.Spec.Ingress[0].From[2]
			if got := matches(t, last.PodSelector, everyPod); !slices.Equal(got, []string{"shop/test"}) {
				t.Errorf("the gateway lets in %v", got)
			}
		}
		if to := p.Spec.Egress[0].To; component == "test" {
			if got := matches(t, to[0].PodSelector, everyPod); len(to) != 1 || !slices.Equal(got, []string{"shop/gateway"}) {
				t.Errorf("helm test asks %v", got)
			}
		} else if len(to) != 2 || to[1].IPBlock == nil {
			t.Errorf("%s: NATS is at %v", p.Name, to)
		}
		if deref(p.Spec.Egress[0].Ports[0].Protocol) != corev1.ProtocolTCP {
			t.Errorf("%s: %v", p.Name, p.Spec.Egress[0].Ports)
		}
	}
}
