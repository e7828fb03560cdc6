package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// nodeFlag makes this program run as a NATS server. The servers are processes of
// this program, so that they can be killed and nothing needs to be installed.
const nodeFlag = "--be-a-nats-server"

// node is the configuration of a NATS server.
type node struct {
	Name     string
	Dir      string
	Port     int
	Cluster  int   // port of the cluster's routes; 0 means alone
	Routes   []int // ports of the others'
	MaxStore int64 // bytes; 0 means 4 GiB
}

// runNode runs a NATS server and returns true if this process was started as one.
// It returns false at once otherwise.
func runNode() bool {
	if len(os.Args) != 3 || os.Args[1] != nodeFlag {
		return false
	}
	if err := serveNode(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func serveNode(config string) error {
	n, err := nodeOf(config)
	if err != nil {
		return err
	}
	s, err := server.NewServer(n.options())
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	go s.Start()
	if !s.ReadyForConnections(20*time.Second) || !s.JetStreamEnabled() {
		return errors.New("the NATS server did not start")
	}
	fmt.Println("ready     ", s.ClientURL())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	<-end
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func (n node) options() *server.Options {
	if n.MaxStore == 0 {
		n.MaxStore = 4 << 30
	}
	o := &server.Options{
		ServerName: n.Name, Host: loopback, Port: n.Port, NoSigs: true, LogFile: n.Dir + ".log", Logtime: true,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: n.MaxStore, JetStreamMaxMemory: 64 << 20, SyncAlways: true,
		PingInterval: 5 * time.Second, MaxPingsOut: 2, // as lonja's own server has them
	}
	if n.Cluster != 0 {
		o.Cluster = server.ClusterOpts{Name: "lonja", Host: loopback, Port: n.Cluster, PingInterval: 5 * time.Second, MaxPingsOut: 2}
		for _, port := range n.Routes {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: at(port)})
		}
	}
	return o
}

// argument returns the node as a command-line argument of this program.
func (n node) argument() string {
	data, _ := json.Marshal(n) // cannot fail: numbers and strings
	return string(data)
}

func nodeOf(argument string) (n node, err error) { return n, json.Unmarshal([]byte(argument), &n) }
