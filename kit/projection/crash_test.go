package projection_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// Environment variables that make the test binary rebuild a view until it is killed.
const (
	rebuildURL = "LONJA_TEST_REBUILDS_AT" // URL of the server
	rebuildDir = "LONJA_TEST_REBUILDS_IN" // directory of the view
)

func TestMain(m *testing.M) {
	if url := os.Getenv(rebuildURL); url != "" {
		fmt.Fprintln(os.Stderr, rebuildForever(url, os.Getenv(rebuildDir)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func rebuildForever(url, dir string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	v := projection.New(totals)
	err = v.Open(context.Background(), projection.Config{JetStream: js, Log: eventlog.New(js, kittest.Codec), Dir: dir,
		Consumer: consumerPrefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	go v.Run(context.Background())
	fmt.Println("running")
	for {
		if err := v.Rebuild(context.Background()); err != nil {
			return err
		}
	}
}

func TestView_StaysUsableWhenItsProcessIsKilledDuringARebuild(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	for range 200 {
		h.log.Add("c", 1)
	}
	h.await(v, 200)
	must(t, stop())
	const seed = 3
	random := rand.New(rand.NewPCG(seed, seed))
	for round := range 15 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), rebuildURL+"="+h.log.Server.URL(), rebuildDir+"="+h.dir)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(line, err)
		}
		<-time.After(time.Duration(random.IntN(200)) * time.Millisecond) // the moment of the crash
		must(t, child.Process.Kill())
		_ = child.Wait()

		v, stop := h.run(totals)
		if !v.Queryable() {
			t.Errorf("round %d: the view cannot be queried", round)
		}
		h.wantTotal(v, "c", 200+round)
		h.await(v, h.log.Add("c", 1))
		h.wantTotal(v, "c", 201+round)
		must(t, stop())
		h.wantOneFile()
	}
}
