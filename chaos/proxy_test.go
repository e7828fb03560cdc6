package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/natsembed"
)

func TestProxy_DropsDuplicatesAndDelaysMessages(t *testing.T) {
	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	p, err := newProxy(strings.TrimPrefix(b.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	p.setRule(func(m message) verdict {
		switch {
		case !m.toServer:
			return pass
		case m.subject == "lost":
			return drop
		case m.subject == "twice" && m.reply == "here" && strings.HasSuffix(string(m.body), "two\r\nlines"):
			return duplicate
		case m.subject == "late":
			return delay(50 * time.Millisecond)
		}
		return pass
	})
	direct, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	sub, err := direct.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := direct.Flush(); err != nil {
		t.Fatal(err)
	}
	through, err := nats.Connect("nats://" + p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	for _, m := range []*nats.Msg{
		{Subject: "late", Data: []byte("x")},
		{Subject: "lost", Data: []byte("x")},
		{Subject: "twice", Reply: "here", Header: nats.Header{"a": {"b"}}, Data: []byte("two\r\nlines")},
		{Subject: "once", Data: nil},
	} {
		if err := through.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 4 {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got = append(got, m.Subject)
	}
	if want := "twice twice once late"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
