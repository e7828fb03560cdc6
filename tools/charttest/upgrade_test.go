package charttest

import (
	"reflect"
	"testing"

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
	if len(before) != 6 {
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
