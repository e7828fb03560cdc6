package natsauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"lonja/kit/natsauth"
)

func config(t *testing.T, servers ...string) natsauth.Config {
	t.Helper()
	worker := natsauth.AllowPublish("work.*")
	worker.Add(natsauth.AllowReply("orders.>"), natsauth.Permissions{DenyPublish: []string{"work.secret"}})
	return natsauth.Config{
		Name: "counters", Account: "COUNTERS", Dir: t.TempDir(), Servers: servers,
		Identities: []natsauth.Identity{{Name: "operator", Permissions: natsauth.AllowAll()}, {Name: "worker", Permissions: worker}},
	}
}

func write(t *testing.T, c natsauth.Config) natsauth.Result {
	t.Helper()
	r, err := natsauth.WriteConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, c natsauth.Config, name ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{c.Dir}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWriteConfig_IsReadByTheServer(t *testing.T) {
	c := config(t, "one", "two", "three")
	c.Store, c.MaxStore, c.TLS = "/elsewhere", "3GB", true
	write(t, c)
	o, err := server.ProcessConfigFile(filepath.Join(c.Dir, "two.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if o.ServerName != "two" || !o.SyncAlways || o.StoreDir != "/elsewhere" || o.JetStreamMaxStore != 3<<30 || o.TLSConfig == nil || len(o.Routes) != 3 || o.Cluster.TLSConfig == nil {
		t.Errorf("%s stores %d bytes in %s, synced %v, with %d routes", o.ServerName, o.JetStreamMaxStore, o.StoreDir, o.SyncAlways, len(o.Routes))
	}
	if len(o.Nkeys) != 2 {
		t.Fatalf("%d users", len(o.Nkeys))
	}
	for _, u := range o.Nkeys {
		key, err := natsauth.LoadKey(filepath.Join(c.Dir, "keys"), "worker")
		if err != nil {
			t.Fatal(err)
		}
		if public, _ := key.PublicKey(); u.Nkey != public {
			continue
		}
		p := u.Permissions
		if strings.Join(p.Publish.Allow, " ") != "work.*" || strings.Join(p.Publish.Deny, " ") != "work.secret" ||
			strings.Join(p.Subscribe.Allow, " ") != "orders.>" || p.Response == nil || p.Response.MaxMsgs != 64 {
			t.Errorf("worker has permissions %+v", p)
		}
		return
	}
	t.Error("worker is not a user")
}

func TestWriteConfig_KeepsCertificatesUnlessTheAuthorityChanges(t *testing.T) {
	c := config(t, "one")
	c.TLS = true
	write(t, c)
	authority, first := read(t, c, "tls", "ca.pem"), read(t, c, "tls", "one.pem")
	write(t, c)
	if read(t, c, "tls", "ca.pem") != authority || read(t, c, "tls", "one.pem") != first {
		t.Error("certificates were replaced without a reason")
	}
	for _, name := range []string{"ca.pem", "ca-key.pem"} { // so that another authority is created
		if err := os.Remove(filepath.Join(c.Dir, "tls", name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, c)
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.Dir, "tls", "one.pem"), filepath.Join(c.Dir, "tls", "one-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, c, "tls", "ca.pem")))
	for _, host := range []string{"one", "nats", "localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestWriteConfig_RotatesAndRetiresAKey(t *testing.T) {
	c := config(t, "one")
	if r := write(t, c); len(r.Created) != 2 || len(r.Kept) != 0 {
		t.Errorf("first: %+v", r)
	}
	c.Rotate = []string{"worker"}
	if r := write(t, c); len(r.Created) != 1 || len(r.Rotating) != 1 || strings.Count(read(t, c, "auth.conf"), "# worker") != 2 {
		t.Errorf("rotated: %+v", r)
	}
	c.Rotate, c.Retire = nil, []string{"worker"}
	if r := write(t, c); len(r.Kept) != 2 || len(r.Rotating) != 0 || strings.Count(read(t, c, "auth.conf"), "# worker") != 1 {
		t.Errorf("retired: %+v", r)
	}
}

func TestWriteConfig_ErrorsNameTheCause(t *testing.T) {
	c := config(t, "one")
	c.Rotate = []string{"nobody"}
	if _, err := natsauth.WriteConfig(c); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("rotate nobody: %v", err)
	}
	c.Rotate = nil
	seed := filepath.Join(c.Dir, "keys", "worker", "seed")
	if err := os.MkdirAll(filepath.Dir(seed), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seed, []byte("SUNONSENSE"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := natsauth.WriteConfig(c)
	if err == nil || !strings.Contains(err.Error(), seed) || strings.Contains(err.Error(), "SUNONSENSE") {
		t.Errorf("an invalid seed: %v", err)
	}
}
