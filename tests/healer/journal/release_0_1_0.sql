BEGIN TRANSACTION;
CREATE TABLE actions (
	id INTEGER NOT NULL, 
	incident INTEGER NOT NULL, 
	server VARCHAR NOT NULL, 
	pool VARCHAR NOT NULL, 
	remediation VARCHAR NOT NULL, 
	destructive BOOLEAN NOT NULL, 
	"plan" TEXT NOT NULL, 
	result TEXT, 
	verification VARCHAR, 
	verdict TEXT, 
	seconds FLOAT, 
	settled TEXT, 
	at_wall FLOAT NOT NULL, 
	at_boot FLOAT NOT NULL, 
	at_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(incident) REFERENCES incidents (id)
);
INSERT INTO "actions" VALUES(1,1,'gpu1:8000','chat','restart_engine',1,'{"incident":1,"server":"gpu1:8000","pool":"chat","remediation":"restart_engine","destructive":true,"incarnation":"boot-a/4711/99000","reason":"restart the engine: no engine value changed for 45 s","diagnosis":{"cause":"engine_stalled","evidence":"no engine value changed for 45 s","supporting_alerts":["VllmEngineStalled"]},"verify":true,"allowed":true,"proof":"new_incarnation"}','{"outcome":"done","words":"ended 2 processes","incarnation":"boot-a/5000/120000","retry_after":0.0}',NULL,NULL,NULL,NULL,1700000005.0,50005.0,'boot-a');
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	period VARCHAR NOT NULL, 
	starts_at VARCHAR NOT NULL, 
	firing BOOLEAN NOT NULL, 
	over BOOLEAN NOT NULL, 
	name VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	annotations TEXT NOT NULL, 
	deliveries INTEGER NOT NULL, 
	incident INTEGER, 
	received_wall FLOAT NOT NULL, 
	received_boot FLOAT NOT NULL, 
	received_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (fingerprint, period, firing), 
	FOREIGN KEY(incident) REFERENCES incidents (id)
);
INSERT INTO "alerts" VALUES(1,'f1','2023-11-14T22:13:20.000+00:00','2023-11-14T22:13:20Z',1,0,'VllmEngineStalled','{"alertname":"VllmEngineStalled","server":"gpu1:8000"}','{"summary":"it hangs"}',1,1,1700000000.0,50000.0,'boot-a');
CREATE TABLE entries (
	id INTEGER NOT NULL, 
	incident INTEGER, 
	kind VARCHAR NOT NULL, 
	words TEXT NOT NULL, 
	data TEXT NOT NULL, 
	at_wall FLOAT NOT NULL, 
	at_boot FLOAT NOT NULL, 
	at_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(incident) REFERENCES incidents (id)
);
INSERT INTO "entries" VALUES(1,NULL,'alert','VllmEngineStalled on gpu1:8000 fires: it hangs','{"labels":{"alertname":"VllmEngineStalled","server":"gpu1:8000"}}',1700000000.0,50000.0,'boot-a');
INSERT INTO "entries" VALUES(2,1,'incident','VllmEngineStalled fires for gpu1:8000','{"state":"open"}',1700000000.0,50000.0,'boot-a');
INSERT INTO "entries" VALUES(3,1,'intent','restart_engine of gpu1:8000 is intended: restart the engine: no engine value changed for 45 s','{"action":1,"incarnation":"boot-a/4711/99000"}',1700000005.0,50005.0,'boot-a');
INSERT INTO "entries" VALUES(4,1,'incident','restart_engine is under way','{"state":"acting"}',1700000005.0,50005.0,'boot-a');
INSERT INTO "entries" VALUES(5,1,'step','restart_engine of gpu1:8000: stop','{"action":1}',1700000006.0,50006.0,'boot-a');
INSERT INTO "entries" VALUES(6,1,'step','restart_engine of gpu1:8000: start','{"action":1}',1700000007.0,50007.0,'boot-a');
INSERT INTO "entries" VALUES(7,1,'result','restart_engine of gpu1:8000: done, ended 2 processes','{"action":1,"outcome":"done"}',1700000008.0,50008.0,'boot-a');
INSERT INTO "entries" VALUES(8,1,'incident','now looking whether it works','{"state":"verifying"}',1700000008.0,50008.0,'boot-a');
INSERT INTO "entries" VALUES(9,NULL,'pause','paused: anna: upgrading the driver','{}',1700000009.0,50009.0,'boot-a');
CREATE TABLE incidents (
	id INTEGER NOT NULL, 
	server VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	opened_wall FLOAT NOT NULL, 
	opened_boot FLOAT NOT NULL, 
	opened_boot_id VARCHAR NOT NULL, 
	closed_wall FLOAT, 
	closed_boot FLOAT, 
	closed_boot_id VARCHAR, 
	PRIMARY KEY (id)
);
INSERT INTO "incidents" VALUES(1,'gpu1:8000','verifying',1700000000.0,50000.0,'boot-a',NULL,NULL,NULL);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('paused','anna: upgrading the driver');
CREATE TABLE steps (
	id INTEGER NOT NULL, 
	action INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	at_wall FLOAT NOT NULL, 
	at_boot FLOAT NOT NULL, 
	at_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(action) REFERENCES actions (id)
);
INSERT INTO "steps" VALUES(1,1,'stop',1700000006.0,50006.0,'boot-a');
INSERT INTO "steps" VALUES(2,1,'start',1700000007.0,50007.0,'boot-a');
CREATE TABLE targets (
	server VARCHAR NOT NULL, 
	seen_ready BOOLEAN NOT NULL, 
	ready_incarnation VARCHAR NOT NULL, 
	incarnation VARCHAR NOT NULL, 
	first_seen_wall FLOAT NOT NULL, 
	first_seen_boot FLOAT NOT NULL, 
	first_seen_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (server)
);
INSERT INTO "targets" VALUES('gpu1:8000',1,'boot-a/4711/99000','boot-a/4711/99000',1699999940.0,49940.0,'boot-a');
CREATE TABLE trees (
	id INTEGER NOT NULL, 
	server VARCHAR NOT NULL, 
	incarnation VARCHAR NOT NULL, 
	processes TEXT NOT NULL, 
	first_seen_wall FLOAT NOT NULL, 
	first_seen_boot FLOAT NOT NULL, 
	first_seen_boot_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (server, incarnation)
);
INSERT INTO "trees" VALUES(1,'gpu1:8000','boot-a/4711/99000','[{"pid":4711,"start_ticks":99000,"role":"api_server","title":"vllm serve"},{"pid":4712,"start_ticks":99100,"role":"engine_core","title":"VLLM::EngineCore"}]',1699999940.0,49940.0,'boot-a');
CREATE INDEX ix_incidents_state ON incidents (state);
CREATE INDEX ix_incidents_server ON incidents (server);
CREATE INDEX ix_alerts_incident ON alerts (incident);
CREATE INDEX ix_entries_incident ON entries (incident);
CREATE INDEX ix_actions_server ON actions (server);
CREATE INDEX ix_actions_pool ON actions (pool);
CREATE INDEX ix_actions_incident ON actions (incident);
CREATE INDEX actions_open ON actions (verification);
CREATE INDEX ix_steps_action ON steps (action);
COMMIT;
