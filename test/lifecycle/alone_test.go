package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lonja/kit/natsembed"
	"lonja/shop"
	"lonja/test/harness"
)

// Parts that start before NATS report that they live and are not ready. They take
// up work once NATS is there.
func TestParts_StartBeforeNATS(t *testing.T) {
	nats, front, back := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	run := func(args ...string) {
		cmd := harness.Command(t, append(args, "--nats", "nats://"+nats)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	run(harness.GatewayOn(front)...)
	run(append(harness.ServicesOn(t.TempDir(), shop.Names()...), "--http", back)...)
	want := func(status int, urls ...string) {
		t.Helper()
		for _, url := range urls {
			harness.Within(t, 20*time.Second, func() error {
				if got := harness.StatusOf("http://" + url); got != status {
					return fmt.Errorf("%s answers %d, not %d", url, got, status)
				}
				return nil
			})
		}
	}
	want(200, front+"/healthz", back+"/healthz")
	want(503, front+"/readyz/gateway", front+"/readyz", back+"/readyz")
	if out, err := harness.Command(t, "healthcheck", "http://"+back+"/readyz").CombinedOutput(); err == nil || !strings.Contains(string(out), "503") {
		t.Errorf("healthcheck: %v %s", err, out)
	}

	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: nats, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	want(200, front+"/readyz/gateway")
	want(503, back+"/readyz") // there are no streams yet
	harness.Run(t, "streams", "apply", "--nats", "nats://"+nats)
	want(200, back+"/readyz", front+"/readyz", back+"/metrics")
	harness.Run(t, "healthcheck", "http://"+front+"/readyz")
	harness.At(t, "http://"+front).Boss()
}

func TestParts_DoNotShowAPasswordInAURL(t *testing.T) {
	url := "nats://ana:geheim@" + harness.FreeAddr(t) + ",nats://ana:geheim@" + harness.FreeAddr(t)
	out, err := harness.Command(t, "streams", "plan", "--nats", url).CombinedOutput()
	if err == nil || strings.Contains(string(out), "geheim") || !strings.Contains(string(out), "ana:xxxxx@") {
		t.Errorf("%v\n%s", err, out)
	}
}
