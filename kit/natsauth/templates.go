package natsauth

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

type configTemplate = template.Template

// user is an identity in auth.conf. During a rotation it has two keys.
type user struct {
	Name        string
	Keys        []string // public ones
	Permissions Permissions
}

// server is the data of one server's configuration.
type server struct {
	Name, Store, MaxStore string
	Cluster               string   // the cluster's name, which is also the user of its routes
	Routes                []string // hosts of the whole cluster; empty for a single server
	Password              string   // of the routes
	Certificates          string   // the folder; "" for no TLS
}

var functions = template.FuncMap{
	"responses": func() string { return fmt.Sprintf("{ max: %d, expires: %q }", maxResponses, responseWindow) },
	"path":      filepath.Join,
	"list": func(subjects []string) string {
		if len(subjects) == 0 {
			return "[]"
		}
		const line = "\n              "
		return "[" + line + `"` + strings.Join(subjects, `"`+line+`"`) + `"` + "\n            ]"
	},
	"routes": func(s server) string {
		var urls []string
		for _, host := range s.Routes {
			urls = append(urls, `"nats-route://`+s.Cluster+`:`+s.Password+`@`+host+`:6222"`)
		}
		return strings.Join(urls, "\n    ")
	},
}

func parse(name, text string) *configTemplate {
	return template.Must(template.New(name).Funcs(functions).Parse(text))
}

var authTemplate = parse("auth.conf", `# Who may connect, and what each may do. Generated from what the
# services declare: do not edit, changes are overwritten. All keys here
# are public.
accounts {
  {{.Account}} {
    jetstream: enabled
    users: [{{range $u := .Users}}{{range .Keys}}
      { # {{$u.Name}}
        nkey: {{.}}
        permissions {
          publish {
            allow: {{list $u.Permissions.Publish}}{{with $u.Permissions.DenyPublish}}
            deny: {{list .}}{{end}}
          }
          subscribe {
            allow: {{list $u.Permissions.Subscribe}}
          }{{if $u.Permissions.AllowResponses}}
          allow_responses {{responses}}{{end}}
        }
      }{{end}}{{end}}
    ]
  }
}
`)

var serverTemplate = parse("server.conf", `# NATS server {{.Name}}. Generated: do not edit, changes are overwritten.
server_name: {{.Name}}
listen: 0.0.0.0:4222
http: 0.0.0.0:8222 # monitoring: /healthz, /varz, /jsz

# Detects a client that hangs early: until then it keeps its place in queue
# groups, and receives messages that it does not process.
ping_interval: 5s
ping_max: 2

jetstream {
  store_dir: {{.Store}}
  # Every message is on the disk before it is acknowledged.
  sync_interval: always
  # Must be below the disk's size: at this limit the server rejects messages with an
  # error, on a full disk it stops responding.
  max_file_store: {{.MaxStore}}
  max_memory_store: 256MB
}
{{if .Certificates}}
tls {
  cert_file: {{path .Certificates .Name}}.pem
  key_file: {{path .Certificates .Name}}-key.pem
  min_version: "1.3"
}
{{end}}{{if .Routes}}
cluster {
  name: {{.Cluster}}
  listen: 0.0.0.0:6222
  ping_interval: 5s
  ping_max: 2
  authorization { user: {{.Cluster}}, password: "{{.Password}}" }
  routes: [
    {{routes .}}
  ]{{if .Certificates}}
  tls {
    cert_file: {{path .Certificates .Name}}.pem
    key_file: {{path .Certificates .Name}}-key.pem
    ca_file: {{path .Certificates "ca"}}.pem
    verify: true
  }{{end}}
}
{{end}}
include auth.conf
`)
