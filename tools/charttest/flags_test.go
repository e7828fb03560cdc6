package charttest

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// flags are what the chart may say to the program, by its first words, and why.
var flags = map[string]map[string]string{
	"gateway": {"http": "where it listens", "drain": "how long it still answers", "public-url": "where customers reach it", "shop-name": "on receipts", "shop-address": "on receipts", "trusted-proxies": "before the gateways", "cors-origin": "whose pages may call it", "sandbox": "trials", "stripe-webhook-secret-file": "real money"},
	"service": {"http": "probes and metrics", "data": "where the views are", "replica": "its own name", "admin-email": "identity only",
		"admin-password-file": "identity only", "kek-file": "identity only", "signing-key-age": "identity only", "reservation-ttl": "inventory only", "order-wait": "orders only", "payment-deadline": "payments only", "sandbox": "payments only",
		"payments": "payments only", "stripe-key-file": "payments only", "payment-return-url": "payments only"},
	"streams apply": {"replicas": "of each stream", "partitions": "of streams of events", "wait": "for NATS", "allow-loss": "said by name"},
	"healthcheck":   {},
	"":              {"log-level": "every command", "nats": "all that connect", "nats-keys": "all that connect", "nats-ca": "all that connect"},
}

// A flag that the program does not have would show only as a pod that does not start.
func TestTheProgramHasTheseFlags(t *testing.T) {
	program := filepath.Join(t.TempDir(), "lonja")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, "./cmd/lonja").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for command, own := range flags {
		if command == "" {
			continue
		}
		help, err := exec.Command(program, append(strings.Fields(command), "--help")...).CombinedOutput()
		if err != nil {
			t.Fatalf("lonja %s --help: %v\n%s", command, err, help)
		}
		wanted := slices.Collect(maps.Keys(own))
		if command != "healthcheck" {
			wanted = slices.AppendSeq(wanted, maps.Keys(flags[""]))
		}
		for _, name := range wanted {
			if !regexp.MustCompile(` --` + name + `[= ]`).Match(help) {
				t.Errorf("lonja %s has no --%s:\n%s", command, name, help)
			}
		}
	}
}

func TestFlagsAreThePrograms(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		args := p.main().Args
		words := 0
		for words < len(args) && !strings.HasPrefix(args[words], "-") {
			words++
		}
		command := map[string]string{"gateway": "gateway", "streams": "streams apply", "test": "healthcheck"}[p.component]
		want := command
		switch {
		case p.isService():
			command, want = "service", "service "+p.component
		case p.component == "test":
			want += " " + args[words-1] // the address, of which TestSelectors knows more
		}
		if got := strings.Join(args[:words], " "); got != want {
			t.Fatalf("runs %q, want %q", got, want)
		}
		for _, arg := range args[words:] {
			name, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if !ok || value == "" {
				t.Errorf("%q is not --flag=value", arg)
			}
			if flags[command][name] == "" && (flags[""][name] == "" || command == "healthcheck") {
				t.Errorf("%s has no --%s", command, name)
			}
			if owner, only := strings.CutSuffix(flags[command][name], " only"); only && owner != p.component {
				t.Errorf("--%s is %s's", name, owner)
			}
		}
	})
}

// What the values say arrives, word for word.
func TestFlagsSayWhatTheValuesSay(t *testing.T) {
	nats := " --log-level=debug --nats=tls://nats-0.nats:4222,tls://nats-1.nats,nats://far.example:4333 --nats-keys=/keys --nats-ca=/ca/ca.crt"
	views := " --http=:8080 --data=/data --replica=$(POD_NAME)"
	want := map[string]string{
		"gateway":   "gateway --http=:8080 --drain=40s --public-url=https://www.shop.example --sandbox=true" + ` --shop-name=The "Lonja": #1 --shop-address=1 Market Square, Leeds --stripe-webhook-secret-file=/stripe/webhook-secrets` + " --trusted-proxies=10.0.0.0/8 --trusted-proxies=2001:db8::1 --cors-origin=https://storefront.example,*" + nats,
		"catalog":   "service catalog" + views + nats,
		"identity":  "service identity" + views + " --admin-email=boss@shop.example --signing-key-age=720h --admin-password-file=/admin/password --kek-file=/kek/kek" + nats,
		"inventory": "service inventory" + views + " --reservation-ttl=1h30m" + nats,
		"orders":    "service orders" + views + " --order-wait=2s" + nats,
		"payments":  "service payments" + views + " --payment-deadline=45m --payments=stripe --stripe-key-file=/stripe/key --payment-return-url=https://www.shop.example/thanks?order={order} --sandbox=true" + nats,
		"receipts":  "service receipts" + views + nats,
		"streams":   "streams apply --replicas=3 --wait=90s --partitions=ORDERS=2,PAYMENTS=2 --allow-loss=DEFERRED --allow-loss=DEADLETTERS" + nats,
		"test":      "healthcheck http://shop-lonja-gateway:8000/readyz",
	}
	for _, p := range pods(t, objects(t, "shop", readValues(t, sets["everything"]))) {
		if got := strings.Join(p.main().Args, " "); got != want[p.component] {
			t.Errorf("%s runs\n%s, want\n%s", p, got, want[p.component])
		}
		env := map[string]string{}
		for _, e := range p.main().Env {
			env[e.Name] = e.Value
		}
		if p.serves() && (env["GOGC"] != "50" || env["LONJA_TEXT"] != `with "quotes": and #`) {
			t.Errorf("%s: environment %v", p, p.main().Env)
		}
	}
}
