select deploy_gate.after()
