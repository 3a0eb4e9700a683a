// SPDX-License-Identifier: PostgreSQL
//
// A recording stand-in of mongosh and of the servers behind it, for the script of ConfigMap
// mongo-sharding-config. node mongo_stub.js < {script, env, hosts, runs, faults}: runs the script as often as
// asked against one state, and prints {runs: [{calls, lines, error}], state}. Only calls that would change
// something are recorded. The clock is the stand-in's: sleep() moves it.
"use strict";
const vm = require("vm");
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const faults = input.faults || {};
const state = { hosts: {}, elections: {}, users: {}, shards: [], databases: {}, collections: {}, settings: {},
  connects: {}, clock: 0, ...input.state };
for (const host of input.hosts) {
  state.hosts[host] = state.hosts[host] || null;
}
let calls, lines;

function fail(code, codeName, message, name) {
  throw Object.assign(new Error(message || codeName), { code, codeName, name: name || "MongoServerError" });
}

function record(...words) {
  calls.push(words);
}

class Connection {
  constructor(uri) {
    const url = new URL(uri);
    this.host = url.host;
    this.user = decodeURIComponent(url.username);
    const password = decodeURIComponent(url.password);
    state.connects[this.host] = (state.connects[this.host] || 0) + 1;
    if (state.connects[this.host] <= ((faults.refuse || {})[this.host] || 0)) {
      fail(undefined, undefined, "connect ECONNREFUSED " + this.host, "MongoNetworkError");
    }
    this.isMongos = this.host === "127.0.0.1:27017";
    if (this.isMongos) {
      this.checkMongos(password);
    } else {
      this.checkMember(url, password);
    }
  }

  checkMongos(password) {
    const config = input.hosts.filter((h) => h.startsWith("mongo-config"));
    if (!config.every((h) => state.hosts[h])) {
      fail(undefined, undefined, "connect ECONNREFUSED 127.0.0.1:27017", "MongoNetworkError");
    }
    if (this.user && state.users[this.user] !== password) {
      fail(18, "AuthenticationFailed", "Authentication failed.");
    }
  }

  checkMember(url, password) {
    if (!(this.host in state.hosts)) {
      fail(undefined, undefined, "getaddrinfo ENOTFOUND " + this.host, "MongoServerSelectionError");
    }
    const options = url.searchParams;
    if (this.user !== "__system" || password !== input.env.KEYFILE.replace(/\s/g, "") ||
        options.get("authSource") !== "local" || options.get("directConnection") !== "true") {
      fail(18, "AuthenticationFailed", "Authentication failed.");
    }
  }

  needs(isRoot) {
    if (isRoot && !(this.isMongos && this.user === input.env.ROOT_USERNAME)) {
      fail(13, "Unauthorized", "requires authentication");
    }
  }
}

function table(rows, name) {
  return {
    findOne: (query) => rows[query._id] || null,
    updateOne: (query, change, options) => {
      if (!rows[query._id] && !(options && options.upsert)) {
        return;
      }
      record("updateOne", name, query, change);
      rows[query._id] = { _id: query._id, ...rows[query._id], ...change.$set };
    },
  };
}

class Database {
  constructor(connection, name) {
    this.connection = connection;
    this.name = name;
  }

  getSiblingDB(name) {
    return new Database(this.connection, name);
  }

  get databases() { this.connection.needs(true); return table(state.databases, "databases"); }

  get collections() {
    this.connection.needs(true);
    return table(faults.hideCollections ? {} : state.collections, "collections");
  }

  get settings() { this.connection.needs(true); return table(state.settings, "settings"); }

  adminCommand(command) {
    if (command.ping) {
      return { ok: 1 };
    }
    this.connection.needs(true);
    if (command.listShards) {
      return { ok: 1, shards: state.shards };
    }
    return fail(59, "CommandNotFound", JSON.stringify(command));
  }

  getUser(name) {
    this.connection.needs(true);
    return name in state.users ? { user: name } : null;
  }

  createUser(user) {
    const isFirst = Object.keys(state.users).length === 0;
    if (!(isFirst && this.connection.isMongos)) {
      this.connection.needs(true);
    }
    if (this.name !== "admin" || user.user in state.users) {
      fail(51003, "Location51003", "user exists");
    }
    record("createUser", user.user, user.roles, isFirst ? "localhost exception" : "root");
    state.users[user.user] = user.pwd;
  }
}

function makeShell() {
  const shell = { process: { env: input.env }, print: (line) => lines.push(String(line)),
    sleep: (ms) => { state.clock += ms; }, Date: { now: () => state.clock } };
  shell.connect = (uri) => new Database(new Connection(uri), new URL(uri).pathname.slice(1) || "test");
  shell.rs = {
    status: () => {
      const host = shell.db.connection.host;
      const config = state.hosts[host];
      if (!config) {
        fail(94, "NotYetInitialized", "no replset config has been received");
      }
      // An election takes a while: two looks see none.
      const looks = state.elections[config._id] = (state.elections[config._id] || 0) + 1;
      return { set: config._id, members: config.members.map((m, i) => (
        { name: m.host, stateStr: i === 0 && looks > 2 && !faults.noPrimary ? "PRIMARY" : "SECONDARY" })) };
    },
    initiate: (config) => {
      const down = config.members.filter((m) => !(m.host in state.hosts));
      if (down.length) {
        fail(74, "NodeNotFound", "replSetInitiate quorum check failed: " + down[0].host);
      }
      if (faults.racedInitiate || config.members.some((m) => state.hosts[m.host])) {
        config.members.forEach((m) => { state.hosts[m.host] = config; });
        fail(23, "AlreadyInitialized", "already initialized");
      }
      record("rs.initiate", shell.db.connection.host, config);
      config.members.forEach((m) => { state.hosts[m.host] = config; });
    },
  };
  shell.sh = {
    addShard: (text) => {
      shell.db.connection.needs(true);
      const [name, hosts] = text.split("/");
      if (faults.unreachable && faults.unreachable.shard === name && faults.unreachable.times-- > 0) {
        fail(6, "HostUnreachable", "couldn't reach " + name);
      }
      for (const host of hosts.split(",")) {
        if (!state.hosts[host] || state.hosts[host]._id !== name) {
          fail(96, "OperationFailed", host + " isn't a member of " + name);
        }
      }
      record("sh.addShard", text);
      state.shards.push({ _id: name, host: text, state: 1 });
    },
    enableSharding: (name) => {
      shell.db.connection.needs(true);
      record("sh.enableSharding", name);
      state.databases[name] = { _id: name };
    },
    shardCollection: (name, key) => {
      shell.db.connection.needs(true);
      if (state.collections[name]) {
        fail(20, "IllegalOperation", "sharding already enabled for collection " + name + ": already sharded");
      }
      if (state.shards.length === 0) {
        fail(70, "ShardNotFound", "no shards");
      }
      record("sh.shardCollection", name, key);
      state.collections[name] = { _id: name, key };
    },
  };
  return vm.createContext(shell);
}

const runs = [];
for (let i = 0; i < (input.runs || 1); i++) {
  calls = [];
  lines = [];
  let error = null;
  try {
    vm.runInContext(input.script, makeShell(), { filename: "sharding.js" });
  } catch (e) {
    error = e.codeName || e.name === "MongoServerError" ? e.codeName + ": " + e.message : String(e.message);
  }
  runs.push({ calls, lines, error });
}
process.stdout.write(JSON.stringify({ runs, state }));
