package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lonja/test/harness"
)

// Every wrong flag is reported in one line before anything starts. The line holds no
// secret.
func TestFlags_AWrongFlagIsNamedInOneLine(t *testing.T) {
	short := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(short, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, names string }{
		{"up --http nonsense", "--http"},
		{"up --http 127.0.0.1:99999", "--http"},
		{"up --nats nonsense", "--nats"},
		{"up --pprof nonsense", "--pprof"},
		{"up --data /dev/null/x", "--data"},
		{"up --sync never", "--sync"},
		{"up --sync 0s", "--sync"},
		{"up --public-url shop.example", "--public-url"},
		{"up --cors-origin shop.example", "--cors-origin"},
		{"gateway --public-url https://shop.example --cors-origin https://shop.example/", "--cors-origin"},
		{"gateway --public-url https://shop.example --cors-origin https://a.example,https://*.example", "--cors-origin"},
		{"gateway --public-url https://shop.example --cors-origin https://a.example --cors-origin null", "--cors-origin"},
		{"up --trusted-proxies ingress", "--trusted-proxies"},
		{"gateway --public-url https://shop.example --trusted-proxies 10.0.0.0/8,10.0.0.0/99", "--trusted-proxies"},
		{"up --max-followers=-1", "--max-followers"},
		{"gateway --public-url https://shop.example --max-waiting=-1", "--max-waiting"},
		{"up --public-url https://shop.example/", "--public-url"},
		{"up --public-url https://ana:geheim@shop.example", "--public-url"},
		{"up --reservation-ttl 0s", "--reservation-ttl"},
		{"up --reservation-ttl=-1s", "--reservation-ttl"},
		{"up --payment-deadline 0s", "--payment-deadline"},
		{"up --payment-deadline soon", "--payment-deadline"},
		{"up --payment-deadline 20m", "--payment-deadline"},
		{"up --reservation-ttl 10m", "--reservation-ttl"},
		{"up --signing-key-age 59m", "--signing-key-age"},
		{"up --order-wait 50ms", "--order-wait"},
		{"service orders --order-wait=-1s", "--order-wait"},
		{"service identity --signing-key-age=-1h", "--signing-key-age"},
		{"up --admin-email nobody", "--admin-email"},
		{"up --admin-password geheim", "--admin-password"},
		{"up --admin-password-file " + short, "--admin-password-file"},
		{"up --admin-password-file /dev/null/x", "--admin-password-file"},
		{"up --log-level loud", "--log-level"},
		{"service nothing", `"nothing"`},
		{"service orders orders", "orders"},
		{"service orders --replica a.b", "--replica"},
		{"service orders --http nonsense", "--http"},
		{"service orders --data /dev/null/x", "--data"},
		{"service orders --nats nats://ana:geheim%@host", "--nats"},
		{"service orders --nats nats://host:99999", "--nats"},
		{"service orders --nats http://host", "--nats"},
		{"service orders --nats-keys /dev/null/x", "--nats-keys"},
		{"service orders --nats-ca " + short, "--nats-ca"},
		{"service inventory payments --payment-deadline 20m", "--payment-deadline"},
		{"service identity --admin-password geheim", "--admin-password"},
		{"service identity", "--kek-file"},
		{"service orders identity --kek-file nowhere", "--kek-file"},
		{"service identity --kek-file " + short, "--kek-file"},
		{"up --http 127.0.0.1:0 --nats 127.0.0.1:0 --kek-file " + short, "--kek-file"},
		{"up --http 127.0.0.1:0 --nats 127.0.0.1:0 --kek-file /dev/null/kek", "--kek-file"},
		{"keys create", "--kek-file"},
		{"keys create --kek-file " + short, "--kek-file"},
		{"keys create --kek-file /dev/null/kek", "--kek-file"},
		{"gateway", "--public-url"},
		{"gateway --public-url https://shop.example --http nonsense", "--http"},
		{"gateway --public-url https://shop.example --drain=-1s", "--drain"},
		{"gateway --public-url ftp://shop.example", "--public-url"},
		{"gateway --public-url https://shop.example --shop-name " + strings.Repeat("x", 101), "--shop-name"},
		{"up --http 127.0.0.1:0 --nats 127.0.0.1:0 --shop-address " + strings.Repeat("x", 501), "--shop-address"},
		{"gateway --public-url https://shop.example --nats-keys /dev/null/x", "--nats-keys"},
		{"streams plan --replicas=-1", "--replicas"},
		{"streams apply --replicas 6", "--replicas"},
		{"streams apply --wait=-1s", "--wait"},
		{"streams apply --allow-loss NOTHING", "--allow-loss"},
		{"deadletters list --limit 0", "--limit"},
		{"deadletters retry one", "<ids>"},
		{"audit --data /dev/null/x", "--data"},
		{"rebuild nothing", `"nothing"`},
		{"timeline x --nats http://host", "--nats"},
		{"nats-config --out x --servers a/b", "--servers"},
		{"nats-config --out x --servers auth", "--servers"},
		{"nats-config --out x --servers a,a", "--servers"},
		{"nats-config --out x --store a;b", "--store"},
		{"nats-config --out x --max-store lots", "--max-store"},
		{"nats-config --out x --rotate nobody", "--rotate"},
		{"nats-config --out x --retire nobody", "--retire"},
		{"healthcheck nonsense", "<url>"},
	} {
		t.Run(c.args, func(t *testing.T) {
			dir := t.TempDir()
			code, out := harness.Ends(t, dir, strings.Fields(c.args)...)
			if code == 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, c.names) || strings.Contains(out, "geheim") {
				t.Errorf("exit code %d, %q; want one line about %s", code, out, c.names)
			}
			if made, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(made) > 0 {
				t.Errorf("it has begun: %s", made)
			}
		})
	}
}

// An address that is taken, or another machine's, is told at once, not when all
// the rest has been tried.
func TestFlags_AnUnusableAddressIsReportedAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const elsewhere = "203.0.113.1:4222"
	for args, flag := range map[string]string{
		"up --nats 127.0.0.1:0 --http":                     "--http",
		"up --http 127.0.0.1:0 --nats-auth --nats":         "--nats",
		"up --http 127.0.0.1:0 --nats 127.0.0.1:0 --pprof": "--pprof",
		"gateway --public-url https://shop.example --http": "--http",
		"service catalog orders --http":                    "--http",
	} {
		for _, addr := range []string{taken.Addr().String(), elsewhere} {
			code, out := harness.Ends(t, t.TempDir(), append(strings.Fields(args), addr)...)
			if want := flag + ": listen tcp " + addr; code == 0 || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
				t.Errorf("%s: exit code %d, %q; want one line with %q", args, code, out, want)
			}
		}
	}
}
