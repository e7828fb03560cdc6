package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lonja/kit/natsembed"
)

// statusOf is the status of an address, 0 when nobody answers.
func statusOf(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Parts that start before NATS is there say that they live and are not ready, and
// take up work once it is.
func TestPartsStartBeforeNATS(t *testing.T) {
	nats, front, back := freeAddr(t), freeAddr(t), freeAddr(t)
	run := func(args ...string) {
		cmd := exec.Command(binary, append(args, "--nats", "nats://"+nats)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	run(gatewayOn(front)...)
	run(append([]string{"service", "--http", back, "--data", t.TempDir(), "--admin-email", adminEmail, "--admin-password", adminPassword}, serviceNames...)...)
	want := func(status int, urls ...string) {
		t.Helper()
		for _, url := range urls {
			within(t, 20*time.Second, func() error {
				if got := statusOf("http://" + url); got != status {
					return fmt.Errorf("%s answers %d, not %d", url, got, status)
				}
				return nil
			})
		}
	}
	want(200, front+"/healthz", back+"/healthz")
	want(503, front+"/readyz/gateway", front+"/readyz", back+"/readyz")
	if out, err := exec.Command(binary, "healthcheck", "http://"+back+"/readyz").CombinedOutput(); err == nil || !strings.Contains(string(out), "503") {
		t.Errorf("healthcheck: %v %s", err, out)
	}

	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: nats, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	want(200, front+"/readyz/gateway")
	want(503, back+"/readyz") // there are no streams yet
	runOnce(t, "streams", "apply", "--nats", "nats://"+nats)
	want(200, back+"/readyz", front+"/readyz", back+"/metrics")
	runOnce(t, "healthcheck", "http://"+front+"/readyz")
	(&shop{t, "http://" + front}).boss()
}

func TestAPasswordInTheURLIsNotShown(t *testing.T) {
	url := "nats://ana:geheim@" + freeAddr(t) + ",nats://ana:geheim@" + freeAddr(t)
	out, err := exec.Command(binary, "streams", "plan", "--nats", url).CombinedOutput()
	if err == nil || strings.Contains(string(out), "geheim") || !strings.Contains(string(out), "ana:xxxxx@") {
		t.Errorf("%v\n%s", err, out)
	}
}
