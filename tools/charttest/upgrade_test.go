package charttest

import (
	"reflect"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
)

// What Kubernetes never lets change must not depend on what an upgrade changes.
func TestUpgradesChangeNothingThatCannotChange(t *testing.T) {
	fixed := func(values string) map[string]any {
		v := map[string]any{}
		if err := unmarshal([]byte(values), &v); err != nil {
			t.Fatal(err)
		}
		found := map[string]any{}
		all := objects(t, "shop", v)
		for _, d := range of[*appsv1.Deployment](all) {
			found["Deployment "+d.Name] = *d.Spec.Selector
		}
		for _, s := range of[*appsv1.StatefulSet](all) {
			found["StatefulSet "+s.Name] = []any{*s.Spec.Selector, s.Spec.ServiceName, s.Spec.PodManagementPolicy, s.Spec.VolumeClaimTemplates}
		}
		return found
	}
	c, err := loadChart()
	if err != nil {
		t.Fatal(err)
	}
	before := fixed("{}")
	if len(before) != 7 {
		t.Fatalf("looks at %d workloads", len(before))
	}
	version, app := c.Metadata.Version, c.Metadata.AppVersion
	c.Metadata.Version, c.Metadata.AppVersion = "9.9.9", "9.9.9"
	defer func() { c.Metadata.Version, c.Metadata.AppVersion = version, app }()
	after := fixed("{image: {tag: next}, labels: {team: other}, podAnnotations: {a: b}, serviceDefaults: {replicas: 3}, nats: {url: 'tls://new:4222', ca: {secret: ca}}}")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("an upgrade would be refused:\n%v\n%v", before, after)
	}
}

// What cannot change is refused before anything is: half an upgrade is worse than
// none. Who wants it all the same is told how to move.
func TestAnUpgradeThatKubernetesWouldRefuseIsRefusedWhole(t *testing.T) {
	parse := func(t *testing.T, set string) map[string]any {
		t.Helper()
		values, err := strvals.Parse(set)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	const move = "kubectl delete statefulset --namespace=market --cascade=orphan"
	for _, c := range []struct {
		name, before string
		after        map[string]any
		says         []string // nothing: it is taken
	}{
		{"the same", "", nil, nil},
		{"what may change", "", parse(t, "serviceDefaults.replicas=3,image.tag=next,gateway.replicas=4,rules.sandbox=true,logLevel=debug"), nil},
		{"production over the default", "", readValues(t, sets["production"]), []string{
			"shop-lonja-catalog: 2Gi cannot become 10Gi", "shop-lonja-payments: 2Gi cannot become 10Gi",
			move + " shop-lonja-catalog shop-lonja-identity shop-lonja-inventory shop-lonja-orders shop-lonja-payments shop-lonja-receipts"}},
		{"one size", "", parse(t, "services.orders.persistence.size=3Gi"), []string{"shop-lonja-orders: 2Gi cannot become 3Gi", move + " shop-lonja-orders\n"}},
		{"the same size in other words", "", parse(t, "serviceDefaults.persistence.size=2048Mi"), nil},
		{"the same size as Kubernetes writes it", "serviceDefaults.persistence.size=512Mi", parse(t, "serviceDefaults.persistence.size=0.5Gi"), nil},
		{"a class", "", parse(t, "serviceDefaults.persistence.storageClass=fast"), []string{"shop-lonja-orders: 2Gi cannot become 2Gi of class fast"}},
		{"no class", "serviceDefaults.persistence.storageClass=fast", nil, []string{"shop-lonja-orders: 2Gi of class fast cannot become 2Gi\n"}},
		{"volumes that end", "", parse(t, "services.orders.persistence.enabled=false"), []string{"shop-lonja-orders: 2Gi cannot become no volume"}},
		{"volumes that begin", "serviceDefaults.persistence.enabled=false", nil, []string{"shop-lonja-orders: no volume cannot become 2Gi"}},
		{"other labels under the same names", "fullnameOverride=shop", parse(t, "fullnameOverride=shop,nameOverride=market"), []string{"nameOverride"}},
		{"other names", "", parse(t, "fullnameOverride=other"), nil}, // beside the old, which Helm deletes
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := upgrade(c.after, objects(t, "shop", parse(t, c.before)))
			if len(c.says) == 0 && err != nil || len(c.says) > 0 && err == nil {
				t.Fatalf("it ends with: %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was upgraded") {
					t.Errorf("it does not say %q: %v", want, err)
				}
			}
		})
	}
	// Once the StatefulSets are gone, as it is told, the upgrade is taken.
	if _, err := upgrade(readValues(t, sets["production"]), nil); err != nil {
		t.Errorf("moved: %v", err)
	}
}

// Each workload keeps its selector.
func TestNoWorkloadSelectsOtherPods(t *testing.T) {
	all := objects(t, "shop", map[string]any{"fullnameOverride": "shop"})
	for _, o := range all {
		if o.kind != "StatefulSet" && o.kind != "Deployment" {
			continue
		}
		_, err := upgrade(map[string]any{"fullnameOverride": "shop", "nameOverride": "market"}, []object{o})
		if err == nil || !strings.Contains(err.Error(), o.String()+" cannot select") {
			t.Errorf("%s: it ends with: %v", o, err)
		}
	}
}

// A key among the values that is replaced rolls the pods that use it, and no other.
func TestAnotherKeyRollsItsPods(t *testing.T) {
	annotations := func(values map[string]any) map[string]string {
		found := map[string]string{}
		for _, p := range pods(t, objects(t, "shop", values)) {
			found[p.component] = p.meta.Annotations["checksum/key"]
		}
		return found
	}
	values := readValues(t, sets["everything"])
	before := annotations(values)
	seeds := values["keys"].(map[string]any)["seeds"].(map[string]any)
	seeds["orders"] = seeds["payments"]
	values["admin"].(map[string]any)["password"] = "another password"
	for component, sum := range annotations(values) {
		if (sum != before[component]) != (component == "orders") {
			t.Errorf("%s: %s, then %s", component, before[component], sum)
		}
	}
}
