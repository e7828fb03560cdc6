package charttest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// keySecrets say which Secret holds an identity's key in each set; without any
// the shop connects unauthenticated.
var keySecrets = map[string]func(identity string) string{
	"default":    func(string) string { return "" },
	"bare":       func(string) string { return "" },
	"production": func(identity string) string { return "lonja-key-" + identity },
	"everything": func(identity string) string { return "shop-lonja-key-" + identity },
	"existing": func(identity string) string {
		if identity == "orders" {
			return "sealed-orders-key"
		}
		return identity + "-nkey"
	},
}

// adminSecrets are the password's, and its key there.
var adminSecrets = map[string][2]string{
	"production": {"lonja-admin", "password"},
	"everything": {"shop-lonja-admin", "password"},
	"existing":   {"boss", "pass.txt"},
}

// A pod gets the key of its own identity and no other, as a file that only its group reads.
func TestPodsMountTheirOwnKeyOnly(t *testing.T) {
	for set := range sets {
		for _, p := range pods(t, objects(t, "shop", readValues(t, sets[set]))) {
			want, at := map[string]string{}, map[string]string{} // secret: item; secret: where
			if key := keySecrets[set](p.identity()); p.identity() != "" && key != "" {
				want[key], at[key] = "seed", "/keys/"+p.identity()
			}
			if admin, ok := adminSecrets[set]; ok && p.component == "identity" {
				want[admin[0]], at[admin[0]] = admin[1], "/admin"
			}
			if p.component == "identity" {
				secret, item := "lonja-kek", "kek"
				if set == "existing" {
					secret, item = "sealing", "lonja.kek"
				}
				want[secret], at[secret] = item, "/kek"
				if file, _ := p.flag("kek-file"); file != "/kek/kek" {
					t.Errorf("%s: %s: --kek-file=%s", set, p, file)
				}
			}
			if set == "everything" && p.identity() != "" {
				want["nats-ca"], at["nats-ca"] = "ca.crt", "/ca"
			}
			if item := map[string]string{"payments": "secret-key", "gateway": "signing"}[p.component]; set == "everything" && item != "" {
				want["lonja-stripe"], at["lonja-stripe"] = item, "/stripe" // each has its own
			}
			got, where := map[string]string{}, map[string]string{}
			for _, v := range p.spec.Volumes {
				if v.Secret == nil {
					continue
				}
				if len(v.Secret.Items) != 1 || deref(v.Secret.DefaultMode) != 0o400 {
					t.Fatalf("%s: %s: %v is more than one file of mode 0400", set, p, v.Secret)
				}
				got[v.Secret.SecretName] = v.Secret.Items[0].Key
				for _, m := range p.main().VolumeMounts {
					if m.Name == v.Name && m.ReadOnly && m.SubPath == "" {
						where[v.Secret.SecretName] = m.MountPath
					}
				}
			}
			if !maps.Equal(got, want) || !maps.Equal(where, at) {
				t.Errorf("%s: %s mounts %v at %v, want %v at %v", set, p, got, where, want, at)
			}
			if dir, ok := p.flag("nats-keys"); ok != (keySecrets[set](p.identity()) != "" && p.identity() != "") || ok && dir != "/keys" {
				t.Errorf("%s: %s: --nats-keys=%s", set, p, dir)
			}
			if file, ok := p.flag("admin-password-file"); ok != (at[adminSecrets[set][0]] == "/admin") || ok && file != "/admin/password" {
				t.Errorf("%s: %s: --admin-password-file=%s", set, p, file)
			}
		}
	}
}

func TestPodsKnowTheAuthority(t *testing.T) {
	for set, want := range map[string]string{"default": "", "everything": "/ca/ca.crt", "existing": "/ca/root.pem"} {
		for _, p := range pods(t, objects(t, "shop", readValues(t, sets[set]))) {
			file, _ := p.flag("nats-ca")
			if p.identity() != "" && file != want || p.identity() == "" && file != "" {
				t.Errorf("%s: %s: --nats-ca=%s, want %s", set, p, file, want)
			}
			for _, v := range p.spec.Volumes {
				if v.ConfigMap != nil && (v.ConfigMap.Name != "authority" || v.ConfigMap.Items[0].Path != "root.pem") {
					t.Errorf("%s: %s: %v", set, p, v.ConfigMap)
				}
			}
		}
	}
}

// What is secret is in Secrets, and nowhere else: no flag, no variable, no annotation.
func TestSecretsAreInSecretsOnly(t *testing.T) {
	values := readValues(t, sets["everything"])
	secrets := []string{values["admin"].(map[string]any)["password"].(string), "horse"}
	for _, seed := range values["keys"].(map[string]any)["seeds"].(map[string]any) {
		secrets = append(secrets, seed.(string))
	}
	if len(secrets) != 10 {
		t.Fatalf("looks for %d", len(secrets))
	}
	found := map[string]bool{}
	for _, o := range objects(t, "shop", values) {
		if s, ok := o.Object.(*corev1.Secret); ok {
			if len(s.StringData) != 1 || len(s.Data) > 0 {
				t.Errorf("%s holds more than one secret", o)
			}
			for _, value := range s.StringData {
				found[value] = true
			}
			continue
		}
		for _, secret := range secrets {
			if strings.Contains(o.text, secret) {
				t.Errorf("%s tells a secret", o)
			}
		}
	}
	for _, secret := range secrets {
		if secret != "horse" && !found[secret] {
			t.Errorf("no Secret holds %q as it was given", secret)
		}
	}
	forEachPod(t, func(t *testing.T, _ map[string]any, p pod) {
		if p.main().EnvFrom != nil {
			t.Error("takes variables out of an object")
		}
		for _, env := range p.main().Env {
			if env.ValueFrom != nil && (env.ValueFrom.FieldRef == nil || env.ValueFrom.SecretKeyRef != nil) {
				t.Errorf("%s comes out of an object", env.Name)
			}
		}
	})
}

// The operator may change streams and read everything, so its key is there only
// while the Job runs that needs it.
func TestOnlyTheStreamsJobHasTheOperatorsKey(t *testing.T) {
	for set := range sets {
		for _, o := range objects(t, "shop", readValues(t, sets[set])) {
			name := keySecrets[set]("operator")
			if name == "" || !strings.Contains(o.text, name) {
				continue
			}
			if o.hook() != "pre-install,pre-upgrade" { // and no hook stays, see below
				t.Errorf("%s: %s has to do with %s", set, o, name)
			}
		}
	}
}

// A hook's Job runs before the chart's ordinary objects are there, so all that it
// refers to is a hook, too, on the same event, and earlier.
func TestHooksNeedOnlyWhatIsThereBefore(t *testing.T) {
	forEachSet(t, func(t *testing.T, _ map[string]any, all []object) {
		there := map[string]object{}
		for _, o := range all {
			there[o.String()] = o
		}
		for _, job := range of[*batchv1.Job](all) {
			o, spec := there["Job "+job.Name], job.Spec.Template.Spec
			needs := []string{"ServiceAccount " + spec.ServiceAccountName}
			for _, v := range spec.Volumes {
				if v.Secret != nil {
					needs = append(needs, "Secret "+v.Secret.SecretName)
				}
			}
			if policy := "NetworkPolicy " + job.Name; there[policy].Object != nil {
				needs = append(needs, policy)
			}
			for _, need := range needs {
				it, ours := there[need]
				if !ours {
					if strings.HasPrefix(need, "Secret ") {
						continue // somebody else's, made before
					}
					t.Fatalf("%s: there is no %s", o, need)
				}
				if it.hook() != o.hook() || it.GetAnnotations()["helm.sh/hook-weight"] != "-10" || o.GetAnnotations()["helm.sh/hook-weight"] != "0" {
					t.Errorf("%s needs %s, which comes on %q", o, it, it.hook())
				}
			}
		}
		for _, o := range all {
			if !slices.Contains([]string{"", "test", "pre-install,pre-upgrade"}, o.hook()) {
				t.Errorf("%s: hook %s", o, o.hook())
			}
			// Helm forgets hooks at uninstall, so what is not gone by then stays for ever.
			if policy := o.GetAnnotations()["helm.sh/hook-delete-policy"]; o.hook() != "" && policy != "before-hook-creation,hook-succeeded" {
				t.Errorf("%s: is deleted on %q", o, policy)
			}
			if log := o.GetAnnotations()["helm.sh/hook-output-log-policy"]; o.kind == "Job" && log != "hook-failed" {
				t.Errorf("%s: its log is shown on %q", o, log)
			}
		}
	})
}

// Each workload runs under an account of its own, which gets no token.
func TestAccountsHaveNoTokens(t *testing.T) {
	forEachSet(t, func(t *testing.T, _ map[string]any, all []object) {
		accounts := map[string]bool{}
		for _, a := range of[*corev1.ServiceAccount](all) {
			accounts[a.Name] = a.AutomountServiceAccountToken != nil && !*a.AutomountServiceAccountToken
		}
		for _, p := range pods(t, all) {
			if !accounts[p.spec.ServiceAccountName] {
				t.Errorf("%s: no account %s without a token", p, p.spec.ServiceAccountName)
			}
			delete(accounts, p.spec.ServiceAccountName)
		}
		if len(accounts) > 0 {
			t.Errorf("accounts of nobody: %v", accounts)
		}
	})
}
