package charttest

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/strvals"
)

// Values that are wrong are refused, and the error names the field.
func TestWrongValuesAreRefused(t *testing.T) {
	seed := "SU" + strings.Repeat("A", 56)
	for _, c := range []struct{ set, says string }{
		{"gatway.replicas=2", "'gatway'"},
		{"gateway.replcas=2", "at '/gateway': additional properties 'replcas'"},
		{"gateway.replicas=0", "/gateway/replicas"},
		{"gateway.replicas=two", "/gateway/replicas"},
		{"gateway.drainSeconds=15s", "/gateway/drainSeconds"},
		{"gateway.publicURL=shop.example", "/gateway/publicURL"},
		{"gateway.trustedProxies={ingress}", "/gateway/trustedProxies/0"},
		{"gateway.corsOrigins={https://shop.example/}", "/gateway/corsOrigins/0"},
		{"gateway.service.type=LoadBalancer", "gateway.publicURL is required"},
		{"gateway.httpRoute.enabled=true,gateway.httpRoute.parentRefs[0].name=public", "gateway.publicURL is required"},
		{"rules.sandbox=maybe", "/rules/sandbox"},
		{"extraEnv.LONJA_SANDBOX=true", "/extraEnv"},
		{"extraEnv.LONJA_TRUSTED_PROXIES=::/0", "/extraEnv"},
		{"extraEnv.LONJA_SHOP_NAME=Lonja", "/extraEnv"},
		{"gateway.shopName=" + strings.Repeat("x", 101), "/gateway/shopName"},
		{"extraEnv.LONJA_CORS_ORIGIN=*", "/extraEnv"},
		{"gateway.paths={api}", "/gateway/paths/0"},
		{"gateway.service.type=External", "/gateway/service/type"},
		{"gateway.service.port=70000", "/gateway/service/port"},
		{"gateway.ingress.enabled=true", "/gateway/ingress/hosts"},
		{"gateway.httpRoute.enabled=true", "/gateway/httpRoute/parentRefs"},
		{"gateway.autoscaling.targetCPU=120", "/gateway/autoscaling/targetCPU"},
		{"gateway.resources.limits.memory=much", "/gateway/resources/limits/memory"},
		{"gateway.resources.limits.disk=1Gi", "/gateway/resources/limits"},
		{"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		{"image.digest=sha256:12", "/image/digest"},
		{"image.repository=Not A Name", "/image/repository"},
		{"logLevel=loud", "/logLevel"},
		{"labels.app\\.kubernetes\\.io/component=other", "/labels"},
		{"podAnnotations.checksum/key=1", "/podAnnotations"},
		{"extraEnv.LONJA_ADMIN_PASSWORD=secret", "/extraEnv"},
		{"extraEnv.LONJA_NATS=nats://elsewhere", "/extraEnv"},
		{"extraEnv.GOGC=50", "/extraEnv/GOGC"}, // a number; a variable is text
		{"nats.url=http://nats:4222", "/nats/url"},
		{"nats.url=nats://me:secret@nats:4222", "/nats/url"},
		{"nats.ca.secret=Big", "/nats/ca/secret"},
		{"keys.existingSecret=lonja-key", "/keys/existingSecret"},
		{"keys.existingSecrets.shipping=key", "/keys/existingSecrets"},
		{"keys.seeds.observer=" + seed, "/keys/seeds"},
		{"keys.seeds.orders=UABC", "/keys/seeds/orders"},
		{"keys.seeds.orders=" + seed, "there is no key for "},
		{"admin.email=boss", "/admin/email"},
		{"admin.password=short", "/admin/password"},
		{"rules.reservationTTL=20", "/rules/reservationTTL"},
		{"rules.paymentDeadline=soon", "/rules/paymentDeadline"},
		{"rules.signingKeyAge=90d", "/rules/signingKeyAge"},
		{"streams.replicas=2", "/streams/replicas"},
		{"streams.wait=2", "/streams/wait"},
		{"streams.partitions=two", "/streams/partitions"},
		{"streams.allowLoss={orders}", "/streams/allowLoss/0"},
		{"serviceDefaults.replicas=0", "/serviceDefaults/replicas"},
		{"serviceDefaults.persistence.size=big", "/serviceDefaults/persistence/size"},
		{"serviceDefaults.terminationGracePeriodSeconds=5", "/serviceDefaults/terminationGracePeriodSeconds"},
		{"services.shipping.replicas=1", "at '/services': additional properties 'shipping'"},
		{"services.orders.replica=2", "/services/orders"},
		{"services.orders=null", "at '/services': missing property 'orders'"},
		{"gateway=null", "missing property 'gateway'"},
		{"topologySpread.whenUnsatisfiable=Never", "/topologySpread/whenUnsatisfiable"},
		{"tolerations[0].effect=Nothing", "/tolerations/0/effect"},
		{"networkPolicy.natsTo[0].cidr=10.0.0.0/8", "/networkPolicy/natsTo/0"},
		{"networkPolicy.dnsPorts={}", "/networkPolicy/dnsPorts"},
		{"serviceMonitor.interval=30", "/serviceMonitor/interval"},
	} {
		values, err := strvals.Parse(c.set)
		if err != nil {
			t.Fatalf("%s: %v", c.set, err)
		}
		if _, err := render("shop", values); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error does not say %q: %v", c.set, c.says, err)
		}
	}
}

// A value that nothing is made of is a promise that nobody keeps. Each is said in
// some set, and without it something else comes out, or an error.
func TestEveryValueDoesSomething(t *testing.T) {
	for _, v := range documented(t) {
		said, does := false, false
		for _, file := range sets {
			values := readValues(t, file)
			if !remove(values, strings.Split(v.path, ".")) {
				continue
			}
			said = true
			with, err := render("shop", readValues(t, file))
			if err != nil {
				t.Fatal(err)
			}
			without, err := render("shop", values)
			does = does || err != nil || !maps.Equal(with, without)
		}
		if service, ok := strings.CutPrefix(v.path, "services."); ok && !said {
			said, does = true, slices.Contains(services, service) // it says nothing for itself in any set
		}
		if !said || !does {
			t.Errorf("%s: said in a set: %v; does something: %v", v.path, said, does)
		}
	}
}

// remove takes a value out, and tells whether it was there.
func remove(values map[string]any, path []string) bool {
	inner, ok := values[path[0]].(map[string]any)
	if len(path) > 1 {
		return ok && remove(inner, path[1:])
	}
	_, ok = values[path[0]]
	delete(values, path[0])
	return ok
}

// The schema tells of each value that there is, and of none that there is not.
func TestSchemaKnowsEveryValue(t *testing.T) {
	text, err := os.ReadFile(chartDir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["definitions"].(map[string]any)
	if compared := compare(t, "", schema, definitions, readValues(t, chartDir+"/values.yaml")); compared < 15 {
		t.Errorf("compared %d objects only", compared)
	}
}

func compare(t *testing.T, path string, schema, definitions map[string]any, values map[string]any) int {
	if all, ok := schema["allOf"].([]any); ok {
		schema = all[0].(map[string]any)
	}
	if ref, ok := schema["$ref"].(string); ok {
		schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok || len(values) == 0 {
		return 0 // free-form, or nothing said of it: services.orders is {}
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s takes any property", path)
	}
	var known []string
	for name := range properties {
		if name != "global" { // Helm's own, when the chart is a part of another
			known = append(known, name)
		}
	}
	slices.Sort(known)
	if there := slices.Sorted(maps.Keys(values)); !slices.Equal(known, there) {
		t.Errorf("%s: the schema has %v, values.yaml %v", path, known, there)
	}
	compared := 1
	for name, value := range values {
		// What may be asked of a node is Kubernetes' list, and we do not say all of it.
		if inner, ok := value.(map[string]any); ok && name != "resources" {
			compared += compare(t, path+"/"+name, properties[name].(map[string]any), definitions, inner)
		}
	}
	return compared
}
